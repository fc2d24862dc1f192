"""9x9 mazes in minutes on two CPU cores; generates its own mazes.

    cgar train maze_mini

Hardware and time: two CPU cores, four to ten minutes of training.

Expected result: about 90 % exact accuracy on the 1,000 held-out mazes, and 60 to 65 % on those with
the longest paths. Seeds 0, 1 and 2 reached 90.2, 88.3 and 90.4 % on two cores of an AMD EPYC.

No held-out maze has the walls of a training maze, also not rotated or mirrored. The settings were
chosen on the validation split with the depth curriculum only (method "pdc"), which is the default
here.
"""

from cgar_jax.config import data_config, default_config, set_method, set_mini


def get_config(method: str = "pdc"):
    """Returns the config; `cgar train maze_mini:cgar` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
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
    # Most puzzles halt after one or two steps; without more exploration, later steps are hardly
    # trained.
    config.supervision.exploration_probability = 0.5
    config.optimizer.learning_rate = 1.5e-3
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.99
    config.training.steps = 2_400
    set_method(config, method)
    return config
