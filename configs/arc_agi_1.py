"""ARC-AGI-1: TRM with attention and CGAR, up to 1,000 variants of each of 960 puzzles.

    cgar train --config=configs/arc_agi_1.py --config.data.source=FOLDER

For a host of several GPUs or a TPU slice; `pip install -e '.[cuda]'` or `'.[tpu]'` first. FOLDER
has the competition's JSON files: `benchmarks/fetch_arc.py` writes those of ARC-AGI, ConceptARC's go
beside them (without them: `--config.data.sets="('training', 'evaluation')"`). As published, the
demonstrations of the evaluation puzzles are trained on and their tests are not; unlike there, the
tests of 20 training puzzles are kept for validation. At the end each test is asked in all variants
of its puzzle, and the answers are put to the vote.

Published for TRM: 44.6 % of the evaluation puzzles within two answers (arXiv 2510.04871); not yet
reproduced with this code.
"""

from cgar_jax.config import data_config, default_config, set_arc, set_method


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/arc_agi_1.py:trm`."""
    config = default_config()
    config.data = data_config("arc")
    set_arc(config)
    config.training.steps = 500_000
    set_method(config, method)
    return config
