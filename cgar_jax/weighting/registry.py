"""From a config's list of names and settings to one weighting."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optax

from cgar_jax._registry import call_by_name, check_name
from cgar_jax.weighting.hierarchical_supervision import hierarchical_supervision_weighting
from cgar_jax.weighting.loss_based import focal_weighting, loss_based_reweighting
from cgar_jax.weighting.normalization import normalize_mean

WEIGHTINGS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "focal_weighting": focal_weighting,
    "hierarchical_supervision_weighting": hierarchical_supervision_weighting,
    "loss_based_reweighting": loss_based_reweighting,
    "normalize_mean": normalize_mean,
}
"""Every weighting that a config may name."""


def build(entries: Sequence[Sequence[Any]]) -> optax.GradientTransformationExtraArgs:
    """Chain the weightings that a config lists, in order.

    Args:
      entries: ``(name, settings)`` or ``(name, settings, terms)``: a key of `WEIGHTINGS`, its
        keyword arguments, and the loss terms it applies to, for losses that are a dict; the other
        terms pass it by. ``[("hierarchical_supervision_weighting", {"decay": 0.7}, ["answer"]),
        ("normalize_mean", {})]``. An empty list leaves every weight at one.

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
            'is expected; write ("normalize_mean", {}) for one without settings'
        )
    name, settings, *terms = entry
    weighting = call_by_name("weighting", WEIGHTINGS, name, settings)
    return optax.masked(weighting, _only(name, terms[0])) if terms else weighting


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
