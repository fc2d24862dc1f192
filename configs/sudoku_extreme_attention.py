"""Sudoku-Extreme with attention instead of token mixing, rotary positions; else as sudoku_extreme.

    cgar train --config=configs/sudoku_extreme_attention.py

Published for TRM with attention: 74.7 % exact (arXiv 2510.04871); not yet reproduced with this
code.
"""

from cgar_jax.config import default_config, set_method


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/sudoku_extreme_attention.py:trm`."""
    config = default_config()
    config.data.source = "hub:sapientinc/sudoku-extreme"
    config.sampling.name = "epoch_sampling"
    config.model.mixing = "attention"
    config.model.positions = "rotary"
    set_method(config, method)
    return config
