"""Converts the values of a config to Python's own types, which are the ones that a run can store.

Configs are often filled with NumPy or JAX numbers, by a sweep or a notebook. JSON cannot hold
them, so a run would train to its end and could not be loaded afterwards.
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import ml_collections


def plain_config(config: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """Returns a copy of a config that can be stored as JSON and read back unchanged.

    NumPy and JAX numbers and arrays become Python numbers and tuples, lists become tuples, paths
    become strings, and a dictionary inside a tuple, such as the settings of a weighting, becomes a
    tuple of pairs. Without dictionaries inside tuples, `ml_collections.FrozenConfigDict` accepts
    the result.

    Args:
      config: a `ConfigDict`, a `FrozenConfigDict` or another mapping.

    Raises:
      ValueError: if a value cannot be stored; the message names its key.
    """
    return ml_collections.ConfigDict(_plain_group("config", config))


def stored_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of the JSON file that stores a config, see `plain_config`."""
    return json.loads(json.dumps(plain_config(config).to_dict(), sort_keys=True))


def _plain_group(path: str, group: Mapping[str, Any]) -> dict[str, Any]:
    return {_checked_key(path, key): _plain(f"{path}.{key}", group[key]) for key in group}


def _plain(path: str, value: Any) -> Any:
    """Converts the value of a key; a mapping is a group of keys."""
    if isinstance(value, Mapping | ml_collections.ConfigDict):
        return _plain_group(path, value)
    return _plain_element(path, value)


def _plain_element(path: str, value: Any) -> Any:
    """Converts a value that may be an element of a tuple, in which a mapping becomes pairs."""
    if isinstance(value, Mapping | ml_collections.ConfigDict):
        return tuple(
            (_checked_key(path, key), _plain_element(f"{path}.{key}", value[key])) for key in value
        )
    if isinstance(value, list | tuple | range):
        return tuple(_plain_element(f"{path}[{i}]", each) for i, each in enumerate(value))
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return _plain_array(path, value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{path} is NaN, but it must be a number")
    if value is None:
        return value
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)  # without subclasses, such as members of an enumeration
    raise ValueError(
        f"{path} is {value!r} of type {type(value).__name__}, which a run cannot store; use "
        "numbers, strings, booleans, None, and tuples of them"
    )


def _plain_array(path: str, value: Any) -> Any:
    """Converts a NumPy or JAX scalar or array."""
    try:
        listed = value.tolist()
    except Exception as error:  # JAX raises its own errors for traced and deleted arrays
        raise ValueError(f"{path} is an array without a value: {value!r}") from error
    if hasattr(listed, "dtype"):  # NumPy returns long doubles unchanged
        raise ValueError(f"{path} has dtype {value.dtype}, which a run cannot store; use float")
    return _plain_element(path, listed)


def _checked_key(path: str, key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{path} has the key {key!r}, but keys must be strings")
    return str(key)
