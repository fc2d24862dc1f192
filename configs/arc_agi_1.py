"""ARC-AGI-1: TRM with attention and CGAR, up to 1,000 variants of each of 960 puzzles.

    cgar train arc_agi_1 --config.data.source=FOLDER

Hardware: a host with several GPUs or a TPU slice, with the extra [cuda] or [tpu]. `cgar estimate
arc_agi_1 --device=h100 --devices=8` estimates the time.

Data: FOLDER contains the JSON files of the competition. `benchmarks/fetch_arc.py` writes those of
ARC-AGI; those of ConceptARC belong beside them (to train without ConceptARC, pass
`--config.data.sets="('training', 'evaluation')"`). As published, the demonstrations of the
evaluation puzzles are trained on and their tests are not. Unlike the published setting, the tests
of 20 training puzzles are kept for validation. At the end, the model answers each test in all
variants of its puzzle, and the answers are put to a vote.

Expected result: 44.6 % of the evaluation puzzles within two answers is published for TRM
(arXiv 2510.04871). This code has not reproduced it yet.
"""

from cgar_jax.config import data_config, default_config, set_arc, set_method


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train arc_agi_1:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data = data_config("arc")
    set_arc(config)
    config.training.steps = 500_000
    set_method(config, method)
    return config
