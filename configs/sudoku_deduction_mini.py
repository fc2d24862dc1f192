r"""6x6 Sudoku with proof, by candidate elimination, in under a minute on two CPU cores.

    cgar train sudoku_deduction_mini

Hardware and time: two CPU cores, half a minute of training, and up to two minutes for compilation
and the search. The 1,000 training puzzles are minimal (no clue can be spared).

Expected result: all of the 1,000 held-out puzzles are solved with proof (95 % interval 99.6 to
100 %), and 98.7 to 99.5 % without search, with a median of 1 pass per puzzle. Measured with seeds
0, 1 and 2 on two cores of an AMD EPYC (Zen 5), after 41 to 45 s of training with other jobs beside
it.

The experiments of docs/candidate_elimination.md, half as long so that differences show:

    python launch/sweep.py --parallel=1 -- sudoku_deduction_mini --config.training.steps=100 \
        --config.optimizer.ema_decay=0.9
"""

from cgar_jax.config import default_config, grid, set_method, set_mini_elimination


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
    set_mini_elimination(config)
    config.batch_size = 32
    config.curriculum.stages = ((0, 4), (0, 6), (0, 8))
    config.optimizer.warmup_steps = 20
    config.training.steps = 200
    config.training.microbatches = 4
    config.checkpoint.every_steps = 100
    config.evaluation.every_steps = 100
    set_method(config, method)
    return config


def get_sweep():
    """Returns the runs of the experiments, each with three seeds."""
    # With all slots thinking, most differences would be too small to see.
    base = {"seed": range(3), "supervision.thinking": (0.5,)}
    last_loop = (("sorted_exit_weighting", (("exits", (8,)),)),)
    rates = {"optimizer.name": ("adamw",), "optimizer.learning_rate": (1e-3, 3e-3, 1e-2)}
    return (
        grid({"method": ("pdc", "cgar", "trm", "hsw")} | base)
        + grid({"method": ("trm",), "weighting": (last_loop,)} | base)
        + grid({"model.hidden_size": (24, 48, 64)} | base)
        + grid({"data.num_train": (10, 100)} | base)
        + grid(base | {"supervision.thinking": (0.0, 1.0)})
        + grid(rates | base)
    )
