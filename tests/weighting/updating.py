"""Helpers for tests of weightings: updates of weights that start as ones."""

import jax
import jax.numpy as jnp
import numpy as np


def update(transform, losses, state=None, **extras):
    """Returns the weights and the state after one jitted update, by default the first."""
    state = transform.init(losses) if state is None else state
    ones = jax.tree.map(jnp.ones_like, losses)
    return jax.jit(transform.update)(ones, state, losses, **extras)


def weights_of(transform, losses, **extras):
    """Returns the weights after the first update."""
    return update(transform, losses, **extras)[0]


def weights_over_updates(transform, batches):
    """Returns the weights of several batches in consecutive updates, stacked."""
    jitted = jax.jit(lambda state, losses: transform.update(jnp.ones(losses.shape), state, losses))
    state, found = transform.init(batches[0]), []
    for losses in batches:
        weights, state = jitted(state, losses)
        found.append(weights)
    return np.stack(found)


def mean_over_valid(values, where):
    """Returns the mean of the values that are not masked, or 1 if all are masked."""
    return values[where].mean() if where.any() else 1.0
