"""Muon for hidden kernels and AdamW for all other parameters, in two variants.

>>> import optax
>>> from cgar_jax import optimizers
>>> isinstance(optimizers.muon(1e-3, weight_decay=0.1), optax.GradientTransformation)
True

The implementation is `optax.contrib.muon`; this file selects the hidden kernels.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib


def muon(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.95,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Returns Muon for hidden kernels combined with AdamW for all other parameters.

        p <- p - lr (0.2 sqrt(max(rows, columns)) orthogonalize(momentum) + weight_decay p)

    A hidden kernel is a matrix whose path contains neither "embed" nor "head". All other parameters
    use AdamW with Nesterov momentum. Muon's updates are scaled to the root mean square of AdamW's
    updates, so both use the same learning rate.

    Args:
      learning_rate: learning rate, a number or a schedule of the update's index.
      b1: decay of AdamW's first moment.
      b2: decay of AdamW's second moment.
      weight_decay: decoupled weight decay, multiplied by the learning rate.

    Returns:
      A gradient transformation, whose `update` needs the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import optimizers
      >>> params = {"dense": {"kernel": jnp.ones((4, 4))}, "embed": jnp.ones((10, 4))}
      >>> optimizer = optimizers.muon(1e-3)
      >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
      >>> updates["dense"]["kernel"].shape
      (4, 4)

    Reference:
      Jordan et al., 2024, "Muon"; the scale 0.2 is from Liu et al., 2025, "Muon is Scalable for LLM
      Training", arXiv 2502.16982. The implementation is `optax.contrib.muon`.
    """

    return optax.contrib.muon(
        learning_rate,
        weight_decay=weight_decay,
        adam_b1=b1,
        adam_b2=b2,
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=_hidden_kernels,
        consistent_rms=0.2,
    )


def sic_muon(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.95,
    weight_decay: float = 0.005,
    momentum: float = 0.6,
) -> optax.GradientTransformation:
    """Returns Muon as sic uses it: a short momentum, three iterations and a high learning rate.

        m <- momentum m + (1 - momentum) g
        O = orthogonalize((1 - momentum) g + momentum m), with three Newton-Schulz iterations
        p <- p (1 - lr weight_decay) - lr sqrt(max(1, outputs / inputs)) O

    for hidden kernels, as `muon` selects them; the arrays of a stack `[number, inputs, outputs]`
    are orthogonalized one by one. All other parameters use AdamW with 0.005 of the learning rate
    and 200 times the weight decay, which are sic's 1e-4 and 1. sic combines it with a cosine
    schedule without warm-up, gradients clipped to a norm of 1, and normalized SwiGLUs.

    Args:
      learning_rate: learning rate of the hidden kernels, a number or a schedule of the update's
        index; 0.02 in sic.
      b1: decay of AdamW's first moment.
      b2: decay of AdamW's second moment.
      weight_decay: decoupled weight decay of hidden kernels, multiplied by the learning rate.
      momentum: decay of Muon's momentum.

    Returns:
      A gradient transformation, whose `update` needs the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import optimizers
      >>> params = {"dense": {"kernel": jnp.ones((4, 4))}, "embed": jnp.ones((10, 4))}
      >>> optimizer = optimizers.sic_muon(0.02)
      >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
      >>> updates["dense"]["kernel"].shape
      (4, 4)

    Reference:
      Dillon, 2026, "Speed is Confidence", arXiv 2601.19085; as in the released code, whose query,
      key and value of each attention head are matrices of their own. The iteration is that of
      `optax.contrib.muon`, in float32 instead of bfloat16.
    """
    others = 0.005

    def others_rate(count: jax.typing.ArrayLike) -> jax.Array:
        rate = learning_rate(count) if callable(learning_rate) else learning_rate
        return others * jnp.asarray(rate)

    def is_hidden(params: optax.Params) -> Any:
        found = _hidden_kernels(params)
        return jax.tree.map(lambda _, numbers: numbers is not None, params, found)

    return optax.chain(
        optax.masked(_nesterov_average(momentum), is_hidden),
        optax.contrib.muon(
            learning_rate,
            ns_steps=3,
            beta=0.0,
            eps=1e-7,
            weight_decay=weight_decay,
            nesterov=False,
            adam_b1=b1,
            adam_b2=b2,
            adam_weight_decay=weight_decay / others,
            adam_learning_rate=others_rate,
            muon_weight_dimension_numbers=_hidden_kernels,
        ),
    )


def _nesterov_average(decay: float) -> optax.GradientTransformation:
    """Returns `(1 - decay) g + decay m` of the average `m`, without bias correction."""
    average = optax.ema(decay, debias=False)

    def update(updates, state, params=None):
        averaged, state = average.update(updates, state, params)
        mixed = jax.tree.map(lambda g, m: (1 - decay) * g + decay * m, updates, averaged)
        return mixed, state

    return optax.GradientTransformation(average.init, update)


def _hidden_kernels(params: optax.Params) -> Any:
    """Returns the axes of each hidden kernel; None for all other parameters."""

    def dimensions(path: Any, leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        name = jax.tree_util.keystr(path).lower()
        if leaf.ndim not in (2, 3) or "embed" in name or "head" in name:
            return None
        return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(dimensions, params)
