"""9x9 Sudoku as in a newspaper, 24 to 45 clues, in minutes on two CPU cores.

cgar train sudoku_9x9_mini
"""

from cgar_jax.config import default_config, set_method, set_mini_elimination


def get_config(method: str = "pdc"):
    """Returns the config; `cgar train sudoku_9x9_mini:plateau` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data.size = 9
    with config.ignore_type():  # the default is one number, this is a range
        config.data.num_clues = (24, 45)
    config.data.num_train = 1_000
    config.data.num_validation = 200
    config.data.num_test = 1_000
    set_mini_elimination(config)
    config.supervision.max_thoughts = 2
    config.batch_size = 16
    config.curriculum.stages = ((0, 4), (0, 8), (0, 12))
    config.optimizer.warmup_steps = 60
    config.training.steps = 600
    config.training.microbatches = 8
    config.checkpoint.every_steps = 200
    config.evaluation.every_steps = 200
    set_method(config, method)
    return config
