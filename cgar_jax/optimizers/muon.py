"""Muon for hidden kernels and AdamW for all other parameters.

>>> import optax
>>> from cgar_jax import optimizers
>>> isinstance(optimizers.muon(1e-3, weight_decay=0.1), optax.GradientTransformation)
True

The implementation is `optax.contrib.muon`; this file selects the hidden kernels.
"""

from typing import Any

import jax
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

    def hidden_kernels(params: optax.Params) -> Any:
        def dimensions(path: Any, leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
            name = jax.tree_util.keystr(path).lower()
            hidden = leaf.ndim == 2 and "embed" not in name and "head" not in name
            return optax.contrib.MuonDimensionNumbers() if hidden else None

        return jax.tree_util.tree_map_with_path(dimensions, params)

    return optax.contrib.muon(
        learning_rate,
        weight_decay=weight_decay,
        adam_b1=b1,
        adam_b2=b2,
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=hidden_kernels,
        consistent_rms=0.2,
    )
