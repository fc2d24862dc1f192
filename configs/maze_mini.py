"""9x9 mazes in minutes on two CPU cores; makes its own mazes.

python -m cgar_jax.train --config=configs/maze_mini.py

Expected accuracy: see the README.
"""

from cgar_jax.config import data_config, default_config, set_method, set_mini


def get_config(method: str = "pdc"):
    """`method` as in `set_method`, given as `configs/maze_mini.py:trm`."""
    config = default_config()
    config.data = data_config("maze")
    config.data.size = 9
    config.data.loops = 0.25
    config.data.min_difficulty = 4
    config.data.num_train = 5_000
    config.data.num_test = 1_000
    set_mini(config)
    config.batch_size = 64
    config.curriculum.stages = ((1, 1), (2, 1), (3, 2))
    config.supervision.max_supervision_steps = 4
    config.optimizer.learning_rate = 1e-3
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.99
    config.training.steps = 2_400
    set_method(config, method)
    return config
