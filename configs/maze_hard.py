"""Maze-Hard: 30x30 mazes with shortest paths of more than 110 steps, TRM with attention and CGAR.

    cgar train maze_hard

Hardware: one GPU or a TPU slice, with the extra [cuda] or [tpu]. `cgar estimate maze_hard
--device=h100` estimates the time.

Data: 1,000 training and 1,000 test mazes are downloaded from the Hugging Face hub.
`--config.data.source=FOLDER` reads `train.csv` and `test.csv` from a folder instead.
`--config.data.source=generated --config.data.num_test=1000` generates such mazes, which takes about
a minute and a half per thousand on two cores.

Expected result: 85.3 % exact accuracy is published for TRM (arXiv 2510.04871). This code has not
reproduced it yet.
"""

from cgar_jax.config import data_config, default_config, set_method


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train maze_hard:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
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
