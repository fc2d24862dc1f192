"""11x11 mazes in minutes on two CPU cores; makes its own mazes.

python -m cgar_jax.train --config=configs/maze_mini.py
"""

from cgar_jax.config import data_config, default_config, set_method


def get_config(method: str = "cgar"):
    """`method` as in `set_method`, given as `configs/maze_mini.py:trm`."""
    config = default_config()
    config.batch_size = 32

    config.data = data_config("maze")
    config.data.size = 11
    config.data.loops = 0.1
    config.data.min_difficulty = 10.0
    config.data.num_train = 2_000
    config.data.num_validation = 500
    config.data.num_test = 1_000

    config.model.hidden_size = 64
    config.model.expansion = 2.0
    config.model.inner_size_multiple = 64
    config.model.puzzle_embedding_tokens = 1
    config.model.dtype = "float32"

    config.supervision.max_supervision_steps = 8

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 30
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 0.05
    config.optimizer.weight_decay = 0.1
    config.optimizer.ema_decay = 0.98

    config.training.steps = 1_200
    config.training.steps_per_dispatch = 20
    config.checkpoint.every_steps = 200
    config.evaluation.every_steps = 200
    config.evaluation.num_examples = 250
    config.evaluation.batch_size = 250
    set_method(config, method)
    return config
