"""Weightings: how much each unreduced loss counts. A weighting *is* an optax transformation.

``weights, state = weighting.update(weights, state, losses, supervision_step=..., where=...)``: the
weights, which start as ones, travel as optax's ``updates``, the losses (an array ``[batch]`` or
``[batch, steps]``, or a pytree with one such leaf per loss term) as its ``params``, and whatever
else a weighting needs as optax's extra arguments. So `optax.chain`, `optax.inject_hyperparams`,
`optax.masked`, `optax.partition` and `optax.scale` work on weightings as they are. Losses are
computed elsewhere; `weighted_mean` is the one reduction.

| name | weight | use it | source | how sure |
| --- | --- | --- | --- | --- |
| `agreement_pseudo_label_weighting` | 1 with a label; beta a_c if model and neighbors agree, else 0 | few labels, guess the others (HAST) | 2406.09206 | certain |
| `comp_sum_weighting` | p^(tau - 1), p = exp(-loss) | noisy labels; the gradient of `losses.comp_sum_loss` | 2304.07288 | certain |
| `difficulty_curriculum_weighting` | ease (1 - t) + t | easy examples first, all alike later | 2004.14269 | certain |
| `doremi_domain_weighting` | K a_k, a_k <- a_k exp(s excess_k) / Z, smoothed | find the mixture of domains to train with | 2305.10429 | certain |
| `early_distillation_weighting` | 1 - omega and omega, later 1 and 0 | a smaller teacher helps the first steps (SALT) | 2410.18779 | likely: omega, steps |
| `first_order_bilevel_weighting` | K softmax(lam)_k, lam learned | a mixture of domains for a validation loss (ScaleBiO) | 2406.19976 | certain |
| `focal_weighting` | (1 - exp(-loss))^gamma | easy examples drown the hard | 2506.20923 | likely: gamma |
| `hierarchical_supervision_weighting` | decay^(t-1) / sum_s decay^(s-1) | deep supervision | 2511.08653 | certain |
| `inverse_propensity_weighting` | 1 / max(propensity, clip) | what is popular was seen more often | 1909.03601 | certain |
| `loss_based_weighting` | n softmax(f(place in range) / temperature) | noisy or easy bulk data | Sow 2025 | certain |
| `meta_weighting` | n max(e, 0) / sum max(e, 0), e = <clean gradient, gradient> | a little clean data, much noisy data | 1803.09050, 2110.06274 | certain |
| `nested_depth_weighting` | S c_s / g, step s drawn c_s times in g | each depth a model of its own | SortedNet 2023 | likely: the law of the draws |
| `unit_mean_weighting` | w / mean(w) | keep the learning rate's meaning | | |
| `pacing_subset_weighting` | n / k for the k easiest, else 0; k grows | easy part of the batch first | 2212.12712 | likely: the pace; per batch: ours |
| `pass_at_n_weighting` | n p (1 - p)^(n - 1) / (1 - (1 - p)^n) | n answers are sampled; the gradient of `losses.pass_at_n_loss` | 2502.07154 | certain |
| `position_importance_weighting` | offset + 1 / log2(i + 1) | early ranks or steps matter most | Full Ranking 2024 | certain |
| `progressive_hardness_weighting` | n softmax(c(t) z), z the standardized loss | easy first, hard later | 2311.11691 | inspired by its abstract |
| `prototype_gap_weighting` | s_(1) - s_(2), cosines to class prototypes | unlabeled data with unknown classes (WAD) | 2308.11874 | certain |
| `satimp_weighting` | -p^b1 (1 - p)^b2 | unlearning | 2505.11953 | certain |
| `self_taught_weighting` | r / mean(r), r from a small network that learns | noisy labels, no clean data | 2412.12955 | inspired by its abstract |
| `shrunk_class_weighting` | q_1 [reached] mean certain fraction | use uncertain guesses, too (ShrinkMatch) | 2308.06777 | certain |
| `sorted_exit_weighting` | S / number of exits at an exit, else 0 | every exit gives an answer | SoFT 2023 | likely: which exits |
| `teacher_loss_selection_weighting` | n / k between two quantiles of the teacher's loss, else 0 | skip the easy and the hopeless | 2410.18779 | inspired by its abstract |

`weighted_mean` is the reduction, sum over terms of sum(w * loss) / count; `build` makes a chain
from the names and settings of a config. Extra arguments are made by `min_max_ease`, `quantile_ease`,
`reciprocal_rank_ease` and `pair_ease` (how easy), `neighbor_votes` (what neighbors say),
`popularity_propensity` (how likely to be seen), `meta_alignment` and `look_ahead_gradient` (what a
step on each example does to another loss). `draw_meta_batch` and `bilevel_domain_gradient` are
parts of the weightings that learn.

No gradient flows through a weight. Masked entries (``where`` False) get weight 0 and enter no
statistic. Weights are computed in float32 and handed back in the dtype they came in.
"""

from cgar_jax.weighting.bilevel import (
    bilevel_domain_gradient,
    first_order_bilevel_weighting,
)
from cgar_jax.weighting.difficulty import (
    difficulty_curriculum_weighting,
    min_max_ease,
    pacing_subset_weighting,
    pair_ease,
    quantile_ease,
    reciprocal_rank_ease,
)
from cgar_jax.weighting.distillation import (
    early_distillation_weighting,
    teacher_loss_selection_weighting,
)
from cgar_jax.weighting.domains import DomainWeights, doremi_domain_weighting
from cgar_jax.weighting.hierarchical_supervision import hierarchical_supervision_weighting
from cgar_jax.weighting.loss_based import (
    comp_sum_weighting,
    focal_weighting,
    loss_based_weighting,
    pass_at_n_weighting,
    progressive_hardness_weighting,
    satimp_weighting,
)
from cgar_jax.weighting.meta import (
    look_ahead_gradient,
    meta_alignment,
    meta_weighting,
)
from cgar_jax.weighting.normalization import unit_mean_weighting
from cgar_jax.weighting.propensity import inverse_propensity_weighting, popularity_propensity
from cgar_jax.weighting.reduction import WeightStatistics, weighted_mean
from cgar_jax.weighting.registry import WEIGHTINGS, build
from cgar_jax.weighting.self_taught import (
    Rescaler,
    draw_meta_batch,
    self_taught_weighting,
)
from cgar_jax.weighting.semi_supervised import (
    CertainFraction,
    ClassPrototypes,
    agreement_pseudo_label_weighting,
    neighbor_votes,
    prototype_gap_weighting,
    shrunk_class_weighting,
)
from cgar_jax.weighting.supervision_steps import (
    nested_depth_weighting,
    position_importance_weighting,
    sorted_exit_weighting,
)

__all__ = [
    "WEIGHTINGS",
    "CertainFraction",
    "ClassPrototypes",
    "DomainWeights",
    "Rescaler",
    "WeightStatistics",
    "agreement_pseudo_label_weighting",
    "bilevel_domain_gradient",
    "build",
    "comp_sum_weighting",
    "difficulty_curriculum_weighting",
    "doremi_domain_weighting",
    "draw_meta_batch",
    "early_distillation_weighting",
    "first_order_bilevel_weighting",
    "focal_weighting",
    "hierarchical_supervision_weighting",
    "inverse_propensity_weighting",
    "look_ahead_gradient",
    "loss_based_weighting",
    "meta_alignment",
    "meta_weighting",
    "min_max_ease",
    "neighbor_votes",
    "nested_depth_weighting",
    "pacing_subset_weighting",
    "pair_ease",
    "pass_at_n_weighting",
    "popularity_propensity",
    "position_importance_weighting",
    "progressive_hardness_weighting",
    "prototype_gap_weighting",
    "quantile_ease",
    "reciprocal_rank_ease",
    "satimp_weighting",
    "self_taught_weighting",
    "shrunk_class_weighting",
    "sorted_exit_weighting",
    "teacher_loss_selection_weighting",
    "unit_mean_weighting",
    "weighted_mean",
]
