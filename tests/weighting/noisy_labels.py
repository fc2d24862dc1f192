"""A toy problem for weightings that learn to find wrong labels."""

import jax.numpy as jnp
import numpy as np
import optax

DIMENSION = 5


def noisy_data(seed, size, share_flipped):
    """Returns inputs, labels of two classes with a share of flipped ones, and which are flipped."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(size, DIMENSION)).astype(np.float32)
    labels = (inputs.sum(-1) > 0).astype(np.int32)
    flipped = rng.random(size) < share_flipped
    return inputs, np.where(flipped, 1 - labels, labels), flipped


def logits_of(params, inputs):
    return jnp.stack([jnp.zeros(len(inputs)), inputs @ params], -1)


def example_losses(params, inputs, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits_of(params, inputs), labels)
