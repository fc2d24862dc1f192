"""Lookup by the name that a config gives, with an error that suggests the right name.

The `build` functions of the rooms use it. This file imports only the standard library.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def check_name(kind: str, name: Any, accepted: Iterable[str]) -> None:
    """Raises an error unless a name is accepted; the error suggests the nearest accepted name.

    Args:
      kind: kind of object that is named, for the error.
      name: name to check.
      accepted: accepted names.

    Raises:
      ValueError: if `name` is not accepted.
    """
    accepted = list(accepted)
    if name in accepted:
        return
    expected = ", ".join(map(repr, accepted)) or "none"
    hint = suggestion(str(name), accepted)
    raise ValueError(f"unknown {kind} {name!r}; {hint}expected one of: {expected}")


def suggestion(name: str, accepted: Iterable[str]) -> str:
    """Returns a question that suggests the accepted name nearest to `name`; "" without any.

    Args:
      name: name that is not accepted.
      accepted: accepted names.
    """
    nearest = difflib.get_close_matches(name, list(accepted), n=1)
    return f"did you mean {nearest[0]!r}? " if nearest else ""


def call_by_name(
    kind: str,
    registry: Mapping[str, Callable[..., Any]],
    name: str,
    settings: Mapping[str, Any],
) -> Any:
    """Returns `registry[name](**settings)`.

    Args:
      kind: kind of object that is named, for errors.
      registry: functions by name.
      name: name of the function.
      settings: keyword arguments of the function.

    Returns:
      The result of the function.

    Raises:
      ValueError: if the name or a setting is unknown, or a setting without a default is missing.
    """
    check_name(kind, name, registry)
    parameters = inspect.signature(registry[name]).parameters
    for keyword in settings:
        check_name(f"setting of {name}", keyword, parameters)
    missing = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty and parameter.name not in settings
    ]
    if missing:
        raise ValueError(f"{name} needs the setting {missing[0]!r}; it has no default")
    return registry[name](**settings)
