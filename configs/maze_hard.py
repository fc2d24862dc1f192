"""Maze-Hard: 30x30 mazes with shortest paths of more than 110 steps, TRM with attention and CGAR.

    cgar train --config=configs/maze_hard.py

For one GPU or a TPU slice; `pip install -e '.[cuda]'` or `'.[tpu]'` first. The 1,000 training and
1,000 test mazes come from the hub; `--config.data.source=FOLDER` reads `train.csv` and `test.csv`
from a folder instead, and `--config.data.source=generated --config.data.num_test=1000` makes such
mazes, in about a minute and a half a thousand on two cores. Published for TRM: 85.3 % exact (arXiv
2510.04871); not yet reproduced with this code.
"""

from cgar_jax.config import data_config, default_config, set_method


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/maze_hard.py:trm`."""
    config = default_config()
    config.data = data_config("maze")
    config.data.source = "hub:sapientinc/maze-30x30-hard-1k"
    config.data.min_difficulty = 111
    config.data.num_train = 0
    config.data.num_validation = 50
    config.sampling.name = "epoch_sampling"
    config.model.mixing = "attention"
    config.model.positions = "rotary"
    config.curriculum.stages = ((2, 1), (3, 2), (4, 3))
    set_method(config, method)
    return config
