"""A tiny experiment without a data set: restore the hidden tokens of a row."""

import jax
import numpy as np

from cgar_jax import experiment
from cgar_jax.config import default_config
from cgar_jax.training.programs import Programs

CELLS, VOCABULARY = 12, 6
PROGRAMS = {}  # by everything that a compiled program depends on; each takes seconds


def config(**changes):
    """The config of a tiny model; `changes` by dotted key, with `__` for the dot."""
    config = default_config()
    config.batch_size = 16
    config.model.update(hidden_size=16, inner_size_multiple=16, num_heads=2, num_layers=1)
    config.model.update(puzzle_embedding_tokens=1, dtype="float32")
    config.supervision.max_supervision_steps = 3
    config.curriculum.stages = ((1, 1), (2, 2))
    config.curriculum.boundaries = (0.5,)
    config.weighting = (("hierarchical_supervision_weighting", {"decay": 0.7, "num_steps": 3}),)
    config.optimizer.update(name="adamw", learning_rate=3e-3, warmup_steps=0, weight_decay=0.1)
    config.optimizer.ema_decay = 0.9
    config.training.update(steps=20, steps_per_dispatch=4)
    config.mesh.data = 1
    for key, value in changes.items():
        group, name = key.split("__") if "__" in key else (None, key)
        (config[group] if group else config)[name] = value
    return config


def examples(number=40, seed=0, cells=CELLS):
    """Rows of tokens 2 to 5; in the inputs, token 1 hides every third of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, VOCABULARY, (number, cells)).astype(np.uint8)
    hidden = np.arange(cells) % 3 == 0
    labels[:, hidden] = labels[:, 1:2]
    return {
        "inputs": np.where(hidden, np.uint8(1), labels),
        "labels": labels,
        "puzzle_identifiers": np.arange(number, dtype=np.int32) % 3,
        "difficulty": np.zeros(number, np.float32),
    }


def reverse_some(key, batch):
    """An augmentation that reverses random rows."""
    flip = jax.random.bernoulli(key, 0.5, (len(batch["inputs"]), 1))
    turned = {n: jax.numpy.where(flip, batch[n][:, ::-1], batch[n]) for n in ("inputs", "labels")}
    return batch | turned


def build(**changes):
    """The experiment, its training set on the devices, and its initial state."""
    task = experiment.Task(VOCABULARY, CELLS, num_puzzle_identifiers=3)
    pieces = experiment.build(config(**changes), task)
    return pieces, pieces.on_device(examples(), reverse_some), pieces.initial_state()


def program(pieces, state, dataset, depth):
    """The compiled program of a depth, the same one for equal configs and shapes."""
    leaves, structure = jax.tree.flatten((state, dataset))
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    key = (pieces.config.to_json(), depth, structure, shapes)
    if key not in PROGRAMS:
        with Programs(pieces.train_step, state, dataset) as programs:
            PROGRAMS[key] = programs.prepare(depth).result()
    return PROGRAMS[key]
