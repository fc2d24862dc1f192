"""From a config's list of names and settings to one weighting."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optax

from cgar_jax._core.registry import call_by_name, check_name
from cgar_jax.weighting.bilevel import first_order_bilevel_weighting
from cgar_jax.weighting.difficulty import difficulty_curriculum_weighting, pacing_subset_weighting
from cgar_jax.weighting.distillation import (
    early_distillation_weighting,
    teacher_loss_selection_weighting,
)
from cgar_jax.weighting.domains import doremi_domain_weighting
from cgar_jax.weighting.hierarchical_supervision import hierarchical_supervision_weighting
from cgar_jax.weighting.loss_based import (
    comp_sum_weighting,
    focal_weighting,
    loss_based_weighting,
    pass_at_n_weighting,
    progressive_hardness_weighting,
    satimp_weighting,
)
from cgar_jax.weighting.meta import meta_weighting
from cgar_jax.weighting.normalization import unit_mean_weighting
from cgar_jax.weighting.propensity import inverse_propensity_weighting
from cgar_jax.weighting.self_taught import self_taught_weighting
from cgar_jax.weighting.semi_supervised import (
    agreement_pseudo_label_weighting,
    prototype_gap_weighting,
    shrunk_class_weighting,
)
from cgar_jax.weighting.supervision_steps import (
    nested_depth_weighting,
    position_importance_weighting,
    sorted_exit_weighting,
)

WEIGHTINGS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "agreement_pseudo_label_weighting": agreement_pseudo_label_weighting,
    "comp_sum_weighting": comp_sum_weighting,
    "difficulty_curriculum_weighting": difficulty_curriculum_weighting,
    "doremi_domain_weighting": doremi_domain_weighting,
    "early_distillation_weighting": early_distillation_weighting,
    "first_order_bilevel_weighting": first_order_bilevel_weighting,
    "focal_weighting": focal_weighting,
    "hierarchical_supervision_weighting": hierarchical_supervision_weighting,
    "inverse_propensity_weighting": inverse_propensity_weighting,
    "loss_based_weighting": loss_based_weighting,
    "meta_weighting": meta_weighting,
    "nested_depth_weighting": nested_depth_weighting,
    "unit_mean_weighting": unit_mean_weighting,
    "pacing_subset_weighting": pacing_subset_weighting,
    "pass_at_n_weighting": pass_at_n_weighting,
    "position_importance_weighting": position_importance_weighting,
    "progressive_hardness_weighting": progressive_hardness_weighting,
    "prototype_gap_weighting": prototype_gap_weighting,
    "satimp_weighting": satimp_weighting,
    "self_taught_weighting": self_taught_weighting,
    "shrunk_class_weighting": shrunk_class_weighting,
    "sorted_exit_weighting": sorted_exit_weighting,
    "teacher_loss_selection_weighting": teacher_loss_selection_weighting,
}
"""Every weighting that a config may name."""


def build(entries: Sequence[Sequence[Any]]) -> optax.GradientTransformationExtraArgs:
    """Chain the weightings that a config lists, in order.

    Args:
      entries: ``(name, settings)`` or ``(name, settings, terms)``: a key of `WEIGHTINGS`, its
        keyword arguments, and the loss terms it applies to, for losses that are a dict; the other
        terms pass it by. ``[("hierarchical_supervision_weighting", {"decay": 0.7}, ["answer"]),
        ("unit_mean_weighting", {})]``. An empty list leaves every weight at one. A number may be a
        schedule of the updates, an optax one and its arguments: ``("focal_weighting", {"gamma":
        ("linear_schedule", {"init_value": 0.0, "end_value": 2.0, "transition_steps": 1000})})``.

    Returns:
      One `optax.chain`.

    Raises:
      ValueError: an entry of another form, an unknown name or setting, naming the nearest right
        one; at ``init`` and ``update``, a term that is not among the losses.
    """
    return optax.chain(optax.identity(), *(_build_one(entry) for entry in entries))


def _build_one(entry: Sequence[Any]) -> optax.GradientTransformation:
    if isinstance(entry, str) or len(entry) not in (2, 3):
        raise ValueError(
            f"a weighting is given as {entry!r}, but (name, settings) or (name, settings, terms) "
            'is expected; write ("unit_mean_weighting", {}) for one without settings'
        )
    name, settings, *terms = entry
    scheduled = {key: _schedule(value) for key, value in settings.items() if _is_schedule(value)}
    weighting = call_by_name("weighting", WEIGHTINGS, name, {**settings, **scheduled})
    if scheduled:
        inject = optax.inject_hyperparams(WEIGHTINGS[name], static_args=settings.keys() - scheduled)
        weighting = inject(**{**settings, **scheduled})
    return optax.masked(weighting, _only(name, terms[0])) if terms else weighting


def _is_schedule(value: Any) -> bool:
    form = isinstance(value, Sequence) and len(value) == 2
    return form and isinstance(value[0], str) and isinstance(value[1], Mapping)


def _schedule(value: Sequence[Any]) -> optax.Schedule:
    name, arguments = value
    known = [name for name in dir(optax.schedules) if name.endswith("_schedule")]
    schedules = {name: getattr(optax.schedules, name) for name in known}
    return call_by_name("optax schedule", schedules, name, arguments)


def _only(name: str, terms: Sequence[str]) -> Callable[[Any], dict[str, bool]]:
    """Return the mask of `optax.masked`: True for the loss terms that ``terms`` names."""
    if isinstance(terms, str):
        raise ValueError(f"{name}: the loss terms are {terms!r}; give a list, [{terms!r}]")

    def mask(losses: Mapping[str, Any]) -> dict[str, bool]:
        if not isinstance(losses, Mapping):
            raise ValueError(
                f"{name} applies to the loss terms {list(terms)}, but the losses are not a dict; "
                'give them as {"answer": ..., "halt": ...}, or leave the terms out of the entry'
            )
        for term in terms:
            check_name("loss term", term, losses)
        return {term: term in terms for term in losses}

    return mask
