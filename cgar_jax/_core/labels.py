"""The one convention that data, losses and metrics share. It imports nothing."""

IGNORE_LABEL = -100
"""The label of a position that does not count: losses and metrics leave it out."""
