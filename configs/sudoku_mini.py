"""6x6 Sudoku (boxes of 2x3, 18 clues) in minutes on two CPU cores; generates its own puzzles.

    cgar train sudoku_mini

Hardware and time: two CPU cores, one to five minutes of training, and half a minute for start-up,
compilation and evaluation.

Expected result: 98 to 99 % exact accuracy on the 1,000 held-out puzzles. Seeds 0, 1 and 2 reached
99.3, 99.6 and 98.4 % after 70 to 72 s each on two cores of an AMD EPYC (Zen 5), and 99.3, 98.1 and
98.3 % on a 2.5 GHz Xeon with an earlier version; processors round differently.

The settings were chosen on the validation split. No held-out puzzle is equivalent to a training
puzzle. Solution grids are shared up to symmetry, because 6x6 Sudoku has only 49 essentially
different ones.

    python launch/sweep.py --parallel=1 -- sudoku_mini

compares CGAR, each of its two halves and plain TRM, with three seeds each: twelve runs of a few
minutes. They run one after the other so that their times can be compared. The results above are
those of the three CGAR runs; the other nine have not been run with this code yet.
"""

from cgar_jax.config import default_config, grid, set_method, set_mini


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train sudoku_mini:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data.size = 6
    config.data.num_clues = 18
    config.data.num_train = 2_000
    config.data.num_validation = 1_000
    config.data.num_test = 1_000
    set_mini(config)
    set_method(config, method)
    return config


def get_sweep():
    """Returns the overrides of each run: four methods with three seeds each."""
    return grid({"method": ("cgar", "pdc", "hsw", "trm"), "seed": range(3)})
