"""Sudoku-Extreme with attention and rotary positions instead of token mixing.

    cgar train sudoku_extreme_attention

Hardware: one GPU or a TPU slice, with the extra [cuda] or [tpu]. `cgar estimate
sudoku_extreme_attention --device=h100` estimates the time. All other settings and the data are
those of `sudoku_extreme`.

Expected result: 74.7 % exact accuracy is published for TRM with attention (arXiv 2510.04871). This
code has not reproduced it yet.
"""

from cgar_jax.config import default_config, set_method


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train sudoku_extreme_attention:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data.source = "hub:sapientinc/sudoku-extreme"
    config.sampling.name = "epoch_sampling"
    config.model.mixing = "attention"
    config.model.positions = "rotary"
    set_method(config, method)
    return config
