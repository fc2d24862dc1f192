"""Formats a config as the source of a config file, for model cards."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from cgar_jax.config import data_config, default_config


def source_of(config: ml_collections.ConfigDict) -> str:
    """Returns the text of a config file that sets all differences from `default_config`.

    Args:
      config: any config.
    """
    default, lines = default_config(), []
    if config.data.name != default.data.name:
        default.data = data_config(config.data.name)
        lines.append(f"config.data = data_config({config.data.name!r})")
    lines += [f"del config.{group}" for group in sorted(set(default) - set(config))]
    lines += _assignments("config", default, config)
    used = ["default_config", *(["data_config"] if default.data.name != "sudoku" else [])]
    return "\n".join(
        [
            *(["import ml_collections"] if any("ConfigDict(" in line for line in lines) else []),
            f"from cgar_jax.config import {', '.join(sorted(used))}",
            "",
            "",
            "def get_config():",
            "    config = default_config()",
            *(f"    {line}" for line in lines),
            "    return config",
            "",
        ]
    )


def _assignments(
    path: str, default: ml_collections.ConfigDict, config: ml_collections.ConfigDict
) -> Iterator[str]:
    """Yields a line per setting that differs; groups with other keys are set as a whole."""
    for key, value in config.items():
        usual, here = default.get(key), f"{path}.{key}"
        if not isinstance(value, ml_collections.ConfigDict):
            if _literal(value) != _literal(usual):
                if isinstance(usual, list | tuple) != isinstance(value, list | tuple):
                    yield "with config.ignore_type():"  # such as a range in place of a number
                    here = "    " + here
                yield f"{here} = {_literal(value)}"
        elif isinstance(usual, ml_collections.ConfigDict) and set(value) == set(usual):
            yield from _assignments(here, usual, value)
        else:
            yield f"{here} = ml_collections.ConfigDict({_literal(value)})"


def _literal(value: Any) -> str:
    """Returns a value as Python source; lists, which JSON makes of tuples, become tuples."""
    if isinstance(value, Mapping | ml_collections.ConfigDict):
        return f"{{{', '.join(f'{k!r}: {_literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        each = ", ".join(map(_literal, value))
        return f"({each},)" if len(value) == 1 else f"({each})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)
