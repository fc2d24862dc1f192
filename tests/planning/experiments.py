"""Experiments whose costs are known well enough to test."""

import ml_collections

from cgar_jax import experiment
from tests.training import problem


def build(num_devices=None, mesh=None, cells=63, rows=3, **changes):
    """An experiment whose matrix products outweigh everything else."""
    config = problem.config(**changes)
    config.batch_size = 64
    config.model.update(hidden_size=128, inner_size_multiple=64, num_heads=4, num_layers=2)
    config.mesh = ml_collections.ConfigDict(mesh or {"data": 1, "fsdp": 1})
    return experiment.build(config, experiment.Task(problem.VOCABULARY, cells, rows), num_devices)
