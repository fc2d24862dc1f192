import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

BATCH, STEPS = 8, 5


def no_extras(shape: tuple[int, ...]) -> dict[str, Any]:
    del shape
    return {}


@dataclasses.dataclass(frozen=True)
class Case:
    """How to exercise one weighting.

    Attributes:
      settings: arguments at which it does something to every loss term.
      identity: arguments at which it must leave the weights bit for bit; None where there are none.
      extras: from the losses' shape to the extra arguments; those `[BATCH, ...]` are per example.
      optional: extra arguments that may be left out, and must be where there are several terms.
      shapes: the shapes of losses it takes.
      static: arguments that `optax.inject_hyperparams` must not turn into arrays.
      gradient: the settings let the gradient flow through the weights, as documented.
      permutes: permuting the examples permutes the weights.
      multiplies: it multiplies the weights it is given by a factor that comes from the losses.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    identity: Mapping[str, Any] | None = None
    extras: Callable[[tuple[int, ...]], dict[str, Any]] = no_extras
    optional: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ((BATCH,), (BATCH, STEPS))
    static: tuple[str, ...] = ()
    gradient: bool = False
    permutes: bool = True
    multiplies: bool = True


def supervision_step(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"supervision_step": np.arange(shape[0]) % STEPS + 1}


def schedules(case: Case) -> dict[str, Callable[[Any], float]]:
    """A constant schedule for each number among the settings."""
    numbers = {
        name: value
        for name, value in case.settings.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        name: (lambda _, value=value: value)
        for name, value in numbers.items()
        if name not in case.static
    }


def per_example(extras: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The extra arguments with `change` applied to those that have a row for each example."""
    return {
        name: change(value) if np.ndim(value) and np.shape(value)[0] == BATCH else value
        for name, value in extras.items()
    }


def is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
