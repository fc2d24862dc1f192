"""Sudoku-Extreme: 1,000 training puzzles, 422,786 test puzzles, TRM with token mixing and CGAR.

    cgar train --config=configs/sudoku_extreme.py

For one GPU or a TPU slice; `pip install -e '.[cuda]'` or `'.[tpu]'` first. The puzzles come from
the hub; `--config.data.source=FOLDER` reads `train.csv` and `test.csv` from a folder instead.
Published for this setting: 86.02 % exact with CGAR, 86.65 % without it (arXiv 2511.08653); not yet
reproduced with this code.
"""

from cgar_jax.config import default_config, set_method


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/sudoku_extreme.py:trm`."""
    config = default_config()
    config.data.source = "hub:sapientinc/sudoku-extreme"
    config.sampling.name = "epoch_sampling"
    set_method(config, method)
    return config
