"""The puzzle families."""
