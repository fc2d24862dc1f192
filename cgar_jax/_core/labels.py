"""The label convention that data, losses and metrics share. This file imports nothing."""

IGNORE_LABEL = -100
"""The label of positions that losses and metrics ignore."""
