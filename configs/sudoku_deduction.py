"""Hard 9x9 Sudoku with proof, by candidate elimination, on two CPU cores.

    cgar train sudoku_deduction --config.training.microbatches=12

Twelve microbatches of two examples fit the caches of a CPU; leave the option out on a GPU or TPU.
Hardware and time: two CPU cores; two minutes to generate the puzzles once, 25 minutes of training,
two minutes for the final search. The 1,000 training puzzles are minimal (no clue can be spared),
and so hard that an exact solver has to guess at least five times.

Expected result: all of the 500 held-out puzzles are solved with proof, with a median of 2 passes
and a mean of 5.1; singles in place of the network need 6 and 8.1. Without search 60.8 % (95 %
interval 56.5 to 65.0 %). Measured once, with seed 0, on two busy cores of an AMD EPYC (Zen 5).
"""

from cgar_jax.config import default_config, set_elimination, set_method


def get_config(method: str = "pdc"):
    """Returns the config; `cgar train sudoku_deduction:cgar` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data.size = 9
    config.data.num_clues = 0
    config.data.min_difficulty = 5
    config.data.num_train = 1_000
    config.data.num_validation = 100
    config.data.num_test = 500
    set_elimination(config)
    config.batch_size = 24
    config.model.hidden_size = 48
    config.model.expansion = 2.0
    config.supervision.thinking = 0.7
    config.supervision.max_thoughts = 6
    config.curriculum.stages = ((0, 8), (0, 16))
    config.curriculum.boundaries = (0.25,)
    config.optimizer.warmup_steps = 100
    config.optimizer.ema_decay = 0.99
    config.training.steps = 1_400
    config.training.steps_per_dispatch = 20
    config.training.microbatches = 3
    config.checkpoint.every_steps = 100
    config.evaluation.every_steps = 350
    config.evaluation.num_examples = 100
    set_method(config, method)
    return config
