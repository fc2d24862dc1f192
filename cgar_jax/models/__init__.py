"""Models: the networks that the recursion runs, each fulfilling the contract in `base.py`.

To add a model, add a file to this folder, a line to `MODELS` and a case to the conformance suite.
Losses, halting, curricula and the recursion itself are in other rooms.
"""

from collections.abc import Mapping
from typing import Any

from cgar_jax._core.registry import call_by_name
from cgar_jax.models.base import Model, ModelParams, Outputs, ShardingRules, puzzle_rows
from cgar_jax.models.published import export_published, import_published, read_published
from cgar_jax.models.trm import TRM

MODELS = {"trm": TRM}
"""Every model that a config may name."""


def build(config: Mapping[str, Any], **task: int) -> Model:
    """Builds the model that a config names for a task.

    Args:
      config: `name` (a key of `MODELS`) and any attributes of that model.
      **task: `vocab_size`, `sequence_length` and `num_puzzle_identifiers` of the data.

    Returns:
      The model.

    Raises:
      ValueError: if the name or a setting is unknown (the message suggests the nearest one), or
        settings are incompatible.
    """
    settings = dict(config)
    return call_by_name("model", MODELS, settings.pop("name"), settings | task)


__all__ = [
    "MODELS",
    "TRM",
    "Model",
    "ModelParams",
    "Outputs",
    "ShardingRules",
    "build",
    "export_published",
    "import_published",
    "puzzle_rows",
    "read_published",
]
