"""What a run will cost: FLOPs, memory and time, before it starts."""
