"""Looking things up by the name a config gives: a wrong name is an error that names the right one.

Private: the rooms' ``build`` functions use it. It imports nothing but the standard library.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def check_name(kind: str, name: Any, accepted: Iterable[str]) -> None:
    """Raise a ValueError that names the nearest accepted name, unless ``name`` is one of them."""
    accepted = list(accepted)
    if name in accepted:
        return
    nearest = difflib.get_close_matches(str(name), accepted, n=1)
    suggestion = f"did you mean {nearest[0]!r}? " if nearest else ""
    expected = ", ".join(map(repr, accepted)) or "none"
    raise ValueError(f"unknown {kind} {name!r}; {suggestion}expected one of: {expected}")


def call_by_name(
    kind: str,
    registry: Mapping[str, Callable[..., Any]],
    name: str,
    settings: Mapping[str, Any],
) -> Any:
    """Return ``registry[name](**settings)``; wrong names and missing settings are ValueErrors."""
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
