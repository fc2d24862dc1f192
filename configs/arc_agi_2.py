"""ARC-AGI-2: the settings of `arc_agi_1` with 1,280 puzzles of the second benchmark and ConceptARC.

    cgar train arc_agi_2 --config.data.source=FOLDER

Hardware: a host with several GPUs or a TPU slice, with the extra [cuda] or [tpu]. `cgar estimate
arc_agi_2 --device=h100 --devices=8` estimates the time. FOLDER is the one that `arc_agi_1`
describes, with the files of ARC-AGI-2.

Expected result: 7.8 % of the evaluation puzzles within two answers is published for TRM
(arXiv 2510.04871). This code has not reproduced it yet.
"""

from cgar_jax.config import data_config, default_config, set_arc, set_method


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train arc_agi_2:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data = data_config("arc")
    config.data.sets = ("training2", "evaluation2", "concept")
    config.data.test_set = "evaluation2"
    set_arc(config)
    config.training.steps = 700_000
    set_method(config, method)
    return config
