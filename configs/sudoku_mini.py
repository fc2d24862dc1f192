"""6x6 Sudoku (boxes of 2x3, 18 clues) in minutes on two CPU cores; makes its own puzzles.

cgar train --config=configs/sudoku_mini.py

Expect 98 to 99 % exact accuracy on the 1,000 held-out puzzles after one to five minutes of
training: 99.1, 99.4 and 98.1 % in 46 s each for seeds 0, 1 and 2 on two cores of an AMD EPYC
(Zen 5); 99.3, 98.1 and 98.3 % on a 2.5 GHz Xeon, whose sums round otherwise.
The settings were chosen on the validation split. No held-out puzzle is equivalent to a training
puzzle; solution grids are shared up to symmetry: 6x6 has only 49 essentially different ones.

    python launch/sweep.py --parallel=1 -- --config=configs/sudoku_mini.py

compares CGAR, each of its halves and plain TRM, with three seeds each: twelve runs of a few
minutes, one after the other so that their times can be compared. Of the twelve, those of CGAR are
the ones above; the others have not been run with this code yet.
"""

from cgar_jax.config import default_config, grid, set_method, set_mini


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/sudoku_mini.py:trm`."""
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
    """Four methods with three seeds each."""
    return grid({"method": ("cgar", "pdc", "hsw", "trm"), "seed": range(3)})
