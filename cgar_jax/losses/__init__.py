"""Losses: pure functions from model outputs to unreduced float32 losses.

Every loss has the signature ``(model outputs, targets, *, where=None) -> losses`` and keeps one
value per example or token. How much each value counts is decided in `cgar_jax.weighting`, where
the one reduction also is; only `masked_mean`, tokens to examples, is here.

| name                      | formula                                               | arXiv      |
| ------------------------- | ----------------------------------------------------- | ---------- |
| `stablemax_cross_entropy` | -log(s(x_label) / sum s(x)), s = x + 1 or 1 / (1 - x) | 2501.04697 |
| `softmax_cross_entropy`   | -log(exp(x_label) / sum exp(x))                       | optax      |
| `halting_loss`            | binary cross-entropy of "solved", sigmoid(halt logit) | 2510.04871 |
| `log_stablemax`           | log(s(x) / sum s(x))                                  | 2501.04697 |
| `valid_labels`            | label != IGNORE_LABEL, and where                      |            |
| `masked_mean`             | sum(where * values) / max(count, 1)                   |            |
"""

from cgar_jax._labels import IGNORE_LABEL
from cgar_jax._masking import masked_mean
from cgar_jax.losses.cross_entropy import (
    log_stablemax,
    softmax_cross_entropy,
    stablemax_cross_entropy,
    valid_labels,
)
from cgar_jax.losses.halting import halting_loss

__all__ = [
    "IGNORE_LABEL",
    "halting_loss",
    "log_stablemax",
    "masked_mean",
    "softmax_cross_entropy",
    "stablemax_cross_entropy",
    "valid_labels",
]
