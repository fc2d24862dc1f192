"""Training: the train state, the jitted step, and the loop that runs, logs and saves it.

What is trained, on which data and with which losses is decided by the caller and passed in.
"""
