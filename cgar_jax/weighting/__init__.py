"""Weightings: how much each unreduced loss counts. A weighting is an optax transformation.

>>> import jax.numpy as jnp
>>> import optax
>>> from cgar_jax import weighting
>>> weigh = optax.chain(weighting.focal_weighting(gamma=2.0), weighting.unit_mean_weighting())
>>> losses = jnp.array([0.1, 0.2, 2.0])  # unreduced, one per example
>>> loss, (state, info) = weighting.weighted_mean(weigh, losses, weigh.init(losses))
>>> print(f"loss {loss:.2f}, largest weight {info.max:.2f}")
loss 1.90, largest weight 2.84

`weights, state = weighting.update(weights, state, losses, supervision_step=..., where=...)`: the
weights, which start as ones, take the place of optax's updates; the losses (an array `[batch]` or
`[batch, steps]`, or a pytree with one such array per loss term) take the place of its parameters;
and everything else that a weighting needs is an extra argument. `optax.chain`,
`optax.inject_hyperparams`, `optax.masked`, `optax.partition` and `optax.scale` therefore work on
weightings without changes. Losses are computed in `cgar_jax.losses`, and `weighted_mean` is the
only reduction.

| name | weight | use | reference | unconfirmed |
| --- | --- | --- | --- | --- |
| `agreement_pseudo_label_weighting` | 1 with a label; beta a_c if model and neighbors agree, else 0 | few labels, pseudo-labels for the rest (HAST) | 2406.09206 | |
| `comp_sum_weighting` | p^(tau - 1), p = exp(-loss) | noisy labels; has the gradient of `losses.comp_sum_loss` | 2304.07288 | |
| `difficulty_curriculum_weighting` | ease (1 - t) + t | easy examples first, equal weights later | 2004.14269 | |
| `doremi_domain_weighting` | K a_k, a_k <- a_k exp(s excess_k) / Z, smoothed | mixture of domains from a reference model (DoReMi) | 2305.10429 | |
| `early_distillation_weighting` | 1 - omega and omega, later 1 and 0 | a smaller teacher for the first steps (SALT) | 2410.18779 | omega, number of steps |
| `first_order_bilevel_weighting` | K softmax(lam)_k, lam learned | mixture of domains for a validation loss (ScaleBiO) | 2406.19976 | alpha |
| `focal_weighting` | (1 - exp(-loss))^gamma | easy examples dominate hard ones | 2506.20923 | gamma |
| `hierarchical_supervision_weighting` | decay^(t-1) / sum_s decay^(s-1) | deep supervision (CGAR) | 2511.08653 | number of steps |
| `inverse_propensity_weighting` | 1 / max(propensity, clip) | popular items were observed more often | 1909.03601 | |
| `loss_based_weighting` | n softmax(f(place in range) / temperature) | redundant or noisy bulk data | Sow et al., ICLR 2025 | annealing |
| `meta_weighting` | n max(e, 0) / sum max(e, 0), e = <clean gradient, gradient> | a little clean data, much noisy data | 1803.09050, 2110.06274 | |
| `nested_depth_weighting` | S c_s / g, step s drawn c_s times in g draws | every depth becomes a model (SortedNet) | 2309.00255 | distribution of the draws |
| `pacing_subset_weighting` | n / k for the k easiest, else 0; k grows | easy part of the batch first | 2212.12712 | pace |
| `pass_at_n_weighting` | n p (1 - p)^(n - 1) / (1 - (1 - p)^n) | evaluation draws n answers; has the gradient of `losses.pass_at_n_loss` | 2502.07154 | |
| `position_importance_weighting` | offset + 1 / log2(i + 1) | early ranks or steps matter most | Full Ranking, 2024 | |
| `prototype_gap_weighting` | s_(1) - s_(2), cosines to class prototypes | unlabeled data with unknown classes (WAD) | 2308.11874 | |
| `satimp_weighting` | -p^b1 (1 - p)^b2 | unlearning | 2505.11953 | |
| `shrunk_class_weighting` | q_1 [reached] mean certain fraction | use of uncertain pseudo-labels (ShrinkMatch) | 2308.06777 | |
| `sorted_exit_weighting` | S / number of exits at an exit, else 0 | every exit gives an answer (SoFT) | 2309.08968 | set of exits |
| `unit_mean_weighting` | w / mean(w) | the learning rate keeps its meaning | | |
| `winner_takes_all_weighting` | K at the smallest of K losses, else 0 | several answers to an example (sic) | 2601.19085, 1612.00197 | |

Methods that are inspired by a paper, or whose formula is unconfirmed, are in `cgar_jax.contrib`.
The name of every weighting ends in `_weighting`. `build` makes a chain of weightings from the names
and settings of a configuration. Other functions compute extra arguments: `min_max_ease`,
`quantile_ease`, `reciprocal_rank_ease` and `pair_ease` (easiness), `neighbor_votes` (labels of
neighbors), `popularity_propensity` (probability of observation), `meta_alignment` and
`look_ahead_gradient` (effect of a step on each example on another loss). `bilevel_domain_gradient`
is the gradient that `first_order_bilevel_weighting` descends.

No gradient flows through weights, unless a docstring says otherwise. Masked entries (`where` is
False), and entries whose domain, class or step is out of range, get weight 0 and are excluded from
all statistics. Weights are computed in float32 and returned in the dtype of the incoming weights.
To add a weighting, write a function with `base.stateless` or `base.stateful`, and list it in
`WEIGHTINGS` below.
"""

from collections.abc import Callable, Sequence
from typing import Any

import optax

from cgar_jax.weighting.bilevel import bilevel_domain_gradient, first_order_bilevel_weighting
from cgar_jax.weighting.difficulty import difficulty_curriculum_weighting
from cgar_jax.weighting.distillation import early_distillation_weighting
from cgar_jax.weighting.domains import DomainWeights, doremi_domain_weighting
from cgar_jax.weighting.ease import min_max_ease, pair_ease, quantile_ease, reciprocal_rank_ease
from cgar_jax.weighting.entries import Registry, build_entry
from cgar_jax.weighting.hierarchical_supervision import hierarchical_supervision_weighting
from cgar_jax.weighting.likelihood import (
    comp_sum_weighting,
    focal_weighting,
    pass_at_n_weighting,
    satimp_weighting,
)
from cgar_jax.weighting.loss_based import loss_based_weighting
from cgar_jax.weighting.meta import look_ahead_gradient, meta_alignment, meta_weighting
from cgar_jax.weighting.normalization import unit_mean_weighting
from cgar_jax.weighting.pacing import pacing_subset_weighting
from cgar_jax.weighting.propensity import inverse_propensity_weighting, popularity_propensity
from cgar_jax.weighting.prototypes import ClassPrototypes, prototype_gap_weighting
from cgar_jax.weighting.pseudo_labels import agreement_pseudo_label_weighting, neighbor_votes
from cgar_jax.weighting.reduction import WeightStatistics, weighted_mean
from cgar_jax.weighting.shrunk_class import CertainFraction, shrunk_class_weighting
from cgar_jax.weighting.supervision_steps import (
    nested_depth_weighting,
    position_importance_weighting,
    sorted_exit_weighting,
)
from cgar_jax.weighting.winner import winner_takes_all_weighting

WEIGHTINGS: dict[str, Callable[..., optax.GradientTransformation]] = {
    f.__name__: f
    for f in (
        agreement_pseudo_label_weighting,
        comp_sum_weighting,
        difficulty_curriculum_weighting,
        doremi_domain_weighting,
        early_distillation_weighting,
        first_order_bilevel_weighting,
        focal_weighting,
        hierarchical_supervision_weighting,
        inverse_propensity_weighting,
        loss_based_weighting,
        meta_weighting,
        nested_depth_weighting,
        pacing_subset_weighting,
        pass_at_n_weighting,
        position_importance_weighting,
        prototype_gap_weighting,
        satimp_weighting,
        shrunk_class_weighting,
        sorted_exit_weighting,
        unit_mean_weighting,
        winner_takes_all_weighting,
    )
}
"""All weightings of this room, by name."""


def build(
    entries: Sequence[Sequence[Any]], registry: Registry = WEIGHTINGS
) -> optax.GradientTransformationExtraArgs:
    """Builds a chain of weightings from the entries of a configuration.

    Use it to choose weightings by name. An entry is `(name, settings)` or `(name, settings,
    terms)`: a name in the registry, the keyword arguments of the weighting, and the loss terms that
    it applies to, for losses that are a dictionary. A number among the settings may be a schedule
    of the number of updates: a pair of the name of an optax schedule and its keyword arguments.

    Args:
      entries: the weightings, in the order of their application. An empty list leaves all weights
        at one.
      registry: factories of weightings by name, for example
        `weighting.WEIGHTINGS | contrib.WEIGHTINGS`.

    Returns:
      One `optax.chain`.

    Raises:
      ValueError: if an entry has another form, or a name or setting is unknown (the error suggests
        the nearest one); at `init` and `update`, if a loss term is not among the losses.

    Example:
      >>> from cgar_jax import weighting
      >>> ramp = {"init_value": 0.0, "end_value": 2.0, "transition_steps": 1000}
      >>> chain = weighting.build([
      ...     ("hierarchical_supervision_weighting", {"decay": 0.7}, ["answer"]),
      ...     ("focal_weighting", {"gamma": ("linear_schedule", ramp)}),
      ...     ("unit_mean_weighting", {}),
      ... ])
    """
    return optax.chain(optax.identity(), *(build_entry(entry, registry) for entry in entries))


__all__ = [
    "WEIGHTINGS",
    "CertainFraction",
    "ClassPrototypes",
    "DomainWeights",
    "WeightStatistics",
    "agreement_pseudo_label_weighting",
    "bilevel_domain_gradient",
    "build",
    "comp_sum_weighting",
    "difficulty_curriculum_weighting",
    "doremi_domain_weighting",
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
    "prototype_gap_weighting",
    "quantile_ease",
    "reciprocal_rank_ease",
    "satimp_weighting",
    "shrunk_class_weighting",
    "sorted_exit_weighting",
    "unit_mean_weighting",
    "weighted_mean",
    "winner_takes_all_weighting",
]
