"""6x6 Sudoku by candidate elimination with proof, in under a minute on two CPU cores.

cgar train sudoku_deduction_mini
"""

from cgar_jax.config import default_config, set_elimination, set_method


def get_config(method: str = "pdc"):
    """Returns the config; `cgar train sudoku_deduction_mini:cgar` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data.size = 6
    config.data.num_clues = 0
    config.data.num_train = 1_000
    config.data.num_validation = 200
    config.data.num_test = 1_000
    set_elimination(config)
    config.batch_size = 32
    config.model.hidden_size = 32
    config.model.inner_size = 32
    config.curriculum.stages = ((0, 4), (0, 6), (0, 8))
    config.curriculum.boundaries = (0.3, 0.6)
    config.optimizer.warmup_steps = 20
    config.training.steps = 200
    config.training.steps_per_dispatch = 20
    config.training.microbatches = 4
    config.checkpoint.every_steps = 100
    config.evaluation.every_steps = 100
    config.evaluation.num_examples = 200
    set_method(config, method)
    return config
