"""Planning: the cost of a run in FLOPs, memory and time, estimated before it starts.

Nothing here trains a model or reads data.
"""
