"""9x9 Sudoku as in a newspaper, 24 to 45 clues, in minutes on two CPU cores.

    cgar train sudoku_9x9_mini

Hardware and time: two CPU cores, two to three minutes of training, and two minutes for puzzles,
compilation and the final search. The network is the relational one of candidate elimination, with
12,482 parameters; `sudoku_deduction` trains a larger one for the hardest puzzles.

Expected result: 97.7, 97.7 and 97.2 % of the 1,000 held-out puzzles without search (seeds 0, 1 and
2), and all of them with a search whose answers are checked by the rules. Of 200 other puzzles of
each number of clues, without search:

    45 and 36 clues    100, 100 and 100 %
    28 clues           96.0, 95.0 and 93.5 %
    24 clues           88.5, 88.5 and 84.5 %

Measured on two cores of an AMD EPYC (Zen 5), after 130 to 158 s of training with other jobs beside
it.
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
