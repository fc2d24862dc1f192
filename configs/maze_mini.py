"""11x11 mazes in minutes on two CPU cores; makes its own mazes.

python -m cgar_jax.train --config=configs/maze_mini.py
"""

from cgar_jax.config import data_config, default_config, set_method, set_mini


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/maze_mini.py:trm`."""
    config = default_config()
    config.data = data_config("maze")
    config.data.size = 11
    config.data.loops = 0.1
    config.data.min_difficulty = 10.0
    set_mini(config)
    set_method(config, method)
    return config
