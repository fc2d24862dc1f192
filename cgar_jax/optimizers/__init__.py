"""Optimizers: what optax lacks, and `build`, from a config to one gradient transformation.

Everything here is an optax transformation, schedule or plain function; optax's own optimizers,
clipping and moving averages (``optax.incremental_update`` for the EMA) are used as they are. Which
parameters exist, and when an update is applied, is the training room's business.

| name                     | formula                                        | arXiv      |
| ------------------------ | ---------------------------------------------- | ---------- |
| `adam_atan2`             | p - lr (atan2(m, sqrt(v)) + weight_decay p)    | 2407.05872 |
| `scale_by_adam_atan2`    | atan2(m, sqrt(v)), bias-corrected              | 2407.05872 |
| `sparse_sign_sgd`        | p (1 - lr weight_decay) - lr sign(g), rows met | 2506.21734 |
| `learning_rate_schedule` | linear warm-up, then constant or cosine        | 2510.04871 |
| `build`                  | Adam-atan2, AdamW or Muon, as the config says  |            |
"""

from cgar_jax.optimizers.atan2 import adam_atan2, scale_by_adam_atan2
from cgar_jax.optimizers.registry import OPTIMIZERS, build
from cgar_jax.optimizers.schedules import learning_rate_schedule
from cgar_jax.optimizers.sparse import sparse_sign_sgd

__all__ = [
    "OPTIMIZERS",
    "adam_atan2",
    "build",
    "learning_rate_schedule",
    "scale_by_adam_atan2",
    "sparse_sign_sgd",
]
