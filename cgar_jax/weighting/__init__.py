"""Weightings: how much each unreduced loss counts. A weighting *is* an optax transformation.

``weights, state = weighting.update(weights, state, losses, supervision_step=..., where=...)``: the
weights, which start as ones, travel as optax's ``updates``, the losses (an array ``[batch]`` or
``[batch, steps]``, or a pytree with one such leaf per loss term) as its ``params``, and whatever
else a weighting needs as optax's extra arguments. So `optax.chain`, `optax.inject_hyperparams`,
`optax.masked`, `optax.partition` and `optax.scale` work on weightings as they are. Losses are
computed elsewhere; `weighted_mean` is the one reduction.

| name | weight | use it | source | how sure |
| --- | --- | --- | --- | --- |
| `focal_weighting` | (1 - exp(-loss))^gamma | easy examples drown the hard | 2506.20923 | likely: gamma |
| `hierarchical_supervision_weighting` | decay^(t-1) / sum_s decay^(s-1) | deep supervision | 2511.08653 | certain |
| `loss_based_reweighting` | n softmax(f(place in range) / temperature) | noisy or easy bulk data | Sow 2025 | certain |
| `normalize_mean` | w / mean(w) | keep the learning rate's meaning | | |

`weighted_mean` is the reduction, sum over terms of sum(w * loss) / count; `build` makes a chain
from the names and settings of a config.

No gradient flows through a weight. Masked entries (``where`` False) get weight 0 and enter no
statistic. Weights are computed in float32 and handed back in the dtype they came in.
"""

from cgar_jax.weighting.hierarchical_supervision import hierarchical_supervision_weighting
from cgar_jax.weighting.loss_based import focal_weighting, loss_based_reweighting
from cgar_jax.weighting.normalization import normalize_mean
from cgar_jax.weighting.reduction import WeightStatistics, weighted_mean
from cgar_jax.weighting.registry import WEIGHTINGS, build

__all__ = [
    "WEIGHTINGS",
    "WeightStatistics",
    "build",
    "focal_weighting",
    "hierarchical_supervision_weighting",
    "loss_based_reweighting",
    "normalize_mean",
    "weighted_mean",
]
