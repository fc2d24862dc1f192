"""From a config to one optax optimizer."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from cgar_jax._core.registry import check_name
from cgar_jax.optimizers.atan2 import adam_atan2
from cgar_jax.optimizers.schedules import learning_rate_schedule


def build(config: Any, total_steps: int) -> optax.GradientTransformation:
    """Build the optimizer that a config describes.

    Weight decay is decoupled, multiplied by the learning rate, and applies to *all* parameters,
    embeddings and biases too, as in the published recipe.

    Args:
      config: an object (an ml_collections config, say) with the attributes
        ``name``: a key of `OPTIMIZERS`: ``"adam_atan2"``, ``"adamw"`` or ``"muon"``;
        ``learning_rate``, ``warmup_steps``, ``schedule``, ``final_fraction``: as in
        `learning_rate_schedule`;
        ``b1``, ``b2``, ``weight_decay``: as in `adam_atan2`;
        ``clip_norm``: gradients are first scaled down to this global norm; 0 does not clip.
        Adam-atan2 does not see the scale of a gradient, only its size next to earlier ones.
      total_steps: optimizer updates in the run, for the schedule.

    Returns:
      A gradient transformation; ``update`` needs the parameters.

    Raises:
      ValueError: an unknown ``name`` or ``schedule``, naming the nearest right one; a negative
        ``clip_norm``; as `learning_rate_schedule`.
    """
    check_name("optimizer", config.name, OPTIMIZERS)
    if config.clip_norm < 0:
        raise ValueError(f"clip_norm is {config.clip_norm}, but it must be 0 (off) or more")
    learning_rate = learning_rate_schedule(
        config.learning_rate,
        config.warmup_steps,
        total_steps,
        config.schedule,
        config.final_fraction,
    )
    optimizer = OPTIMIZERS[config.name](
        learning_rate, b1=config.b1, b2=config.b2, weight_decay=config.weight_decay
    )
    if config.clip_norm == 0:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def _muon(
    learning_rate: optax.ScalarOrSchedule, b1: float, b2: float, weight_decay: float
) -> optax.GradientTransformation:
    """Muon for the hidden kernels, AdamW (with Nesterov momentum) for all else.

    A hidden kernel has two axes, and a path without "embed" and "head" in it. Muon's updates are
    scaled to the root mean square of AdamW's, so that both take the same learning rate.

    Source: Jordan et al., 2024; the scale 0.2: Liu et al., 2025, arXiv 2502.16982; `optax.contrib`.
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


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam_atan2": adam_atan2,
    "adamw": optax.adamw,
    "muon": _muon,
}
"""Every optimizer that a config may name; each takes ``learning_rate, b1, b2, weight_decay``."""
