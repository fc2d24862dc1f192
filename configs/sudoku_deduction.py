"""Hard 9x9 Sudoku with proof, by candidate elimination, on two CPU cores.

    cgar train sudoku_deduction

Hardware and time: two CPU cores; three minutes to generate the puzzles once, 20 minutes of
training with two simulated devices, one for each core (set XLA_FLAGS as in
docs/candidate_elimination.md; a fifth longer without), two minutes for the final search. The 1,000
training puzzles are minimal (no clue can be spared), and so hard that an exact solver has to guess
at least five times.

Expected result: all of the 500 held-out puzzles are solved with proof, with a median of 2 or 3
passes (singles in place of the network: 6 or 7), and 77.0 to 78.6 % without search. Measured with
seeds 0, 1 and 2, with two simulated devices on two cores of an AMD EPYC (Zen 5).
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
    config.batch_size = 16
    config.model.hidden_size = 48
    config.model.expansion = 2.0
    # The search tries every symbol, so the network need not learn to refute guesses.
    config.supervision.thinking = 1.0
    config.supervision.hinted = 0.5
    config.supervision.misled = 0.0
    config.supervision.max_thoughts = 2
    config.curriculum.stages = ((0, 8), (0, 16))
    config.curriculum.boundaries = (0.3,)
    config.optimizer.warmup_steps = 180
    config.optimizer.ema_decay = 0.99
    config.training.steps = 1_800
    config.training.steps_per_dispatch = 20
    # Two examples fit the cache of a CPU core. A GPU is faster with one microbatch.
    config.training.microbatches = 8
    config.checkpoint.every_steps = 100
    config.evaluation.every_steps = 300
    config.evaluation.num_examples = 100
    set_method(config, method)
    return config
