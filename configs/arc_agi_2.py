"""ARC-AGI-2: as arc_agi_1, with the 1,280 puzzles of the second benchmark and of ConceptARC.

    cgar train --config=configs/arc_agi_2.py --config.data.source=FOLDER

Published for TRM: 7.8 % of the evaluation puzzles within two answers (arXiv 2510.04871); not yet
reproduced with this code.
"""

from cgar_jax.config import data_config, default_config, set_arc, set_method


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/arc_agi_2.py:trm`."""
    config = default_config()
    config.data = data_config("arc")
    config.data.sets = ("training2", "evaluation2", "concept")
    config.data.test_set = "evaluation2"
    set_arc(config)
    config.training.steps = 700_000
    set_method(config, method)
    return config
