"""Checks that the conformance suites of models share."""

import re

import jax
import numpy as np


def random_params(variables):
    """Returns variables with random parameters: those that begin at zero would hide gradients."""
    keys = iter(jax.random.split(jax.random.key(2), 100))
    params = jax.tree.map(
        lambda leaf: 0.3 * jax.random.normal(next(keys), leaf.shape), variables["params"]
    )
    return variables | {"params": params}


def check_gradients(gradients):
    """Checks that the gradient of every parameter is finite and not zero."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf != 0), path


def check_costs(model):
    """Checks that all counted costs are positive integers."""
    costs = (model.network_flops, model.heads_flops, model.network_activations)
    for cost in (*costs, model.network_traffic):
        assert isinstance(cost(), int)
        assert cost() > 0


def check_sharding_rules(model, params):
    """Checks that each sharding rule names a parameter and one of its axes.

    Some variants of a model lack some parameters, so a rule may list several.
    """
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    for pattern, axis in model.sharding_rules:
        named = [shape for name, shape in shapes.items() if re.search(rf"(^|/){pattern}$", name)]
        assert named, pattern
        assert all(axis < len(shape) for shape in named)
