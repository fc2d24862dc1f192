"""Weightings from the entries of a configuration.

>>> from cgar_jax import weighting
>>> from cgar_jax.weighting.entries import build_entry
>>> unit_mean = build_entry(("unit_mean_weighting", {}), weighting.WEIGHTINGS)

An entry is a name, settings and, optionally, the loss terms that the weighting applies to. This
file turns one entry into one weighting; `weighting.build` chains them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optax

from cgar_jax._core.registry import call_by_name, check_name

Registry = Mapping[str, Callable[..., optax.GradientTransformation]]


def build_entry(entry: Sequence[Any], registry: Registry) -> optax.GradientTransformation:
    """Builds the weighting that one entry describes.

    Args:
      entry: `(name, settings)` or `(name, settings, terms)`; settings are a dictionary or a tuple
        of pairs.
      registry: factories of weightings by name.

    Returns:
      The weighting, restricted to the loss terms of the entry if it names any.

    Raises:
      ValueError: if the entry has another form, or a name or setting is unknown.
    """
    if isinstance(entry, str) or len(entry) not in (2, 3):
        raise ValueError(
            f"the entry {entry!r} of a weighting is neither (name, settings) nor "
            '(name, settings, terms); write ("unit_mean_weighting", {}) for a weighting without '
            "settings"
        )
    name, given, *terms = entry
    settings = dict(given)
    scheduled = {key: _schedule(value) for key, value in settings.items() if _is_schedule(value)}
    weighting = call_by_name("weighting", registry, name, {**settings, **scheduled})
    if scheduled:
        inject = optax.inject_hyperparams(registry[name], static_args=settings.keys() - scheduled)
        weighting = inject(**{**settings, **scheduled})
    return optax.masked(weighting, _mask_of_terms(name, terms[0])) if terms else weighting


def _is_schedule(value: Any) -> bool:
    is_pair = isinstance(value, Sequence) and len(value) == 2 and isinstance(value[0], str)
    return is_pair and isinstance(value[1], Mapping | Sequence) and not isinstance(value[1], str)


def _schedule(value: Sequence[Any]) -> optax.Schedule:
    name, arguments = value
    known = [name for name in dir(optax.schedules) if name.endswith("_schedule")]
    schedules = {name: getattr(optax.schedules, name) for name in known}
    return call_by_name("optax schedule", schedules, name, dict(arguments))


def _mask_of_terms(name: str, terms: Sequence[str]) -> Callable[[Any], dict[str, bool]]:
    """Returns the mask function for `optax.masked`, which is True for the named loss terms."""
    if isinstance(terms, str):
        raise ValueError(
            f"{name}: the loss terms are the string {terms!r}, but a list is expected; "
            f"write [{terms!r}]"
        )

    def mask(losses: Mapping[str, Any]) -> dict[str, bool]:
        if not isinstance(losses, Mapping):
            raise ValueError(
                f"{name} applies to the loss terms {list(terms)}, but the losses are not a "
                'dictionary; pass them as {"answer": ..., "halt": ...}, or remove the terms from '
                "the entry"
            )
        for term in terms:
            check_name("loss term", term, losses)
        return {term: term in terms for term in losses}

    return mask
