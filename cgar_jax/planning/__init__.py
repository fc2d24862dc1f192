"""Planning: what a run costs in FLOPs, memory and time, computed before it starts.

Nothing here trains a model or reads data.
"""
