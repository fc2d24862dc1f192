"""Optimizers: additions to optax, and `build`, which makes an optimizer from a config.

>>> import optax
>>> from cgar_jax import optimizers
>>> rate = optimizers.learning_rate_schedule(1e-3, warmup_steps=100, total_steps=1000)
>>> optimizer = optimizers.adam_atan2(rate, weight_decay=0.1)
>>> isinstance(optimizer, optax.GradientTransformation)
True

Everything here is an optax transformation, a schedule or a plain function. Optax's own optimizers,
clipping and moving averages (`optax.incremental_update` for the EMA) are used unchanged. The
training loop applies the updates.

| name | formula | reference |
| --- | --- | --- |
| `adam_atan2` | p - lr (`scale_by_adam_atan2` + weight_decay p) | 2407.05872 |
| `scale_by_adam_atan2` | atan2(m, sqrt(v / (1 - b2^t))) / (1 - b1^t) | 2407.05872 |
| `muon` | orthogonalized momentum for hidden kernels, AdamW for the other parameters | 2502.16982 |
| `sic_muon` | the same with a short momentum, three iterations and width scaling | 2601.19085 |
| `sparse_sign_sgd` | p (1 - lr weight_decay) - lr sign(g), only for the rows in use | 2506.21734 |
| `learning_rate_schedule` | linear warm-up, then constant or cosine | 2510.04871 |

`OPTIMIZERS` lists the optimizers that a config may name.
"""

from collections.abc import Callable
from typing import Any

import optax

from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.optimizers.atan2 import adam_atan2, scale_by_adam_atan2
from cgar_jax.optimizers.muon import muon, sic_muon
from cgar_jax.optimizers.schedules import learning_rate_schedule, shortened_warmup
from cgar_jax.optimizers.sparse import sparse_sign_sgd

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    function.__name__: function for function in (adam_atan2, optax.adamw, muon, sic_muon)
}
"""The optimizers that a config may name; each takes `learning_rate, b1, b2, weight_decay`."""

RANGES = {"b1": "[0, 1)", "b2": "[0, 1)", "weight_decay": "[0, inf)", "clip_norm": "[0, inf)"}
"""The ranges of the settings that `build` passes to every optimizer."""


def build(config: Any, total_steps: int) -> optax.GradientTransformation:
    """Returns the optimizer that a config describes.

    Weight decay is decoupled, multiplied by the learning rate, and applied to *all* parameters,
    including embeddings and biases, as in the published recipe.

    Args:
      config: object with the attributes below, for example an ml_collections config.
        `name` is a key of `OPTIMIZERS`: `"adam_atan2"`, `"adamw"`, `"muon"` or `"sic_muon"`.
        `learning_rate`, `warmup_steps`, `schedule` and `final_fraction` are those of
        `learning_rate_schedule`.
        `b1`, `b2` and `weight_decay` are those of `adam_atan2`.
        `clip_norm` is the global norm to which gradients are first scaled down; 0 turns clipping
        off. Adam-atan2 ignores the scale of a gradient; only its size relative to earlier ones
        matters.
      total_steps: number of optimizer updates in the run, for the schedule.

    Returns:
      A gradient transformation, whose `update` needs the parameters.

    Raises:
      ValueError: if `name` or `schedule` is unknown (the message suggests the nearest one),
        or a setting is out of its range.

    Example:
      >>> import types
      >>> from cgar_jax import optimizers
      >>> config = types.SimpleNamespace(
      ...     name="adamw", learning_rate=1e-3, warmup_steps=0, schedule="constant",
      ...     final_fraction=0.0, b1=0.9, b2=0.95, weight_decay=0.1, clip_norm=1.0,
      ... )
      >>> len(optimizers.build(config, total_steps=100))
      2
    """
    check_name("optimizer", config.name, OPTIMIZERS)
    for name, interval in RANGES.items():
        check_number(config.name, name, getattr(config, name), interval)
    optimizer = OPTIMIZERS[config.name](
        schedule_of(config, total_steps),
        b1=config.b1,
        b2=config.b2,
        weight_decay=config.weight_decay,
    )
    if config.clip_norm == 0:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def schedule_of(
    config: Any, total_steps: int, learning_rate: float | None = None
) -> optax.Schedule:
    """Returns the schedule of the learning rate that a config describes.

    Args:
      config: object with the attributes `learning_rate`, `warmup_steps`, `schedule` and
        `final_fraction`, as for `build`.
      total_steps: number of optimizer updates in the run.
      learning_rate: peak learning rate in place of the config's; None means the config's.

    Returns:
      The schedule from `learning_rate_schedule`.

    Raises:
      ValueError: if a setting is out of its range.

    Example:
      >>> import types
      >>> from cgar_jax import optimizers
      >>> config = types.SimpleNamespace(
      ...     learning_rate=0.1, warmup_steps=2, schedule="constant", final_fraction=1.0
      ... )
      >>> rate = optimizers.schedule_of(config, total_steps=10, learning_rate=1.0)
      >>> float(rate(0)), float(rate(9))
      (0.5, 1.0)
    """
    peak = config.learning_rate if learning_rate is None else learning_rate
    return learning_rate_schedule(
        peak, config.warmup_steps, total_steps, config.schedule, config.final_fraction
    )


__all__ = [
    "OPTIMIZERS",
    "adam_atan2",
    "build",
    "learning_rate_schedule",
    "muon",
    "scale_by_adam_atan2",
    "schedule_of",
    "shortened_warmup",
    "sic_muon",
    "sparse_sign_sgd",
]
