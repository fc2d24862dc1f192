"""Training: the train state, the jitted step, and the loop that runs, logs and saves it.

The caller passes in the model, the data and the losses.
"""
