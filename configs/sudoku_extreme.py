"""Sudoku-Extreme: TRM with token mixing and CGAR, 1,000 training and 422,786 test puzzles.

    cgar train sudoku_extreme

Hardware: one GPU or a TPU slice, with the extra [cuda] or [tpu]. `cgar estimate sudoku_extreme
--device=h100` estimates the time; the paper reports 6.38 hours on one A100 with CGAR, and 10.93
without.

Data: the puzzles are downloaded from the Hugging Face hub. `--config.data.source=FOLDER` reads
`train.csv` and `test.csv` from a folder instead.

Expected result: the paper reports 86.02 % exact accuracy with CGAR and 86.65 % without
(arXiv 2511.08653). This code has not reproduced these numbers yet.
"""

from cgar_jax.config import default_config, set_method


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train sudoku_extreme:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data.source = "hub:sapientinc/sudoku-extreme"
    config.sampling.name = "epoch_sampling"
    set_method(config, method)
    return config
