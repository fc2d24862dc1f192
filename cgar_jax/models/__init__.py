"""Models: the networks that the recursion runs, each fulfilling the contract in `base.py`.

To add a model, add a file to this folder, a line to `MODELS` and a case to the conformance suite.
Losses, halting, curricula and the recursion itself are in other rooms.
"""

from collections.abc import Mapping
from typing import Any

from cgar_jax._core.registry import call_by_name
from cgar_jax._core.relations import Relation
from cgar_jax.models.base import (
    CandidateModel,
    CandidateOutputs,
    Model,
    ModelParams,
    Outputs,
    ShardingRules,
    empty_states,
    puzzle_rows,
)
from cgar_jax.models.ldt import LDT
from cgar_jax.models.published import export_published, import_published, read_published
from cgar_jax.models.relational import Relational
from cgar_jax.models.se_rrm import SERRM
from cgar_jax.models.singles import Singles
from cgar_jax.models.trm import TRM

CANDIDATE_MODELS = {"ldt": LDT, "relational": Relational}
"""The models that read candidates instead of tokens."""

MODELS = {"trm": TRM, "se_rrm": SERRM} | CANDIDATE_MODELS
"""Every model that a config may name."""


def build(
    config: Mapping[str, Any],
    relations: tuple[Relation, ...] = (),
    num_symbols: int = 0,
    **task: int,
) -> Model:
    """Builds the model that a config names for a task.

    Args:
      config: `name` (a key of `MODELS`) and any attributes of that model.
      relations: groups of cells that must all differ; candidate models and `relation_bias` need
        them.
      num_symbols: number of symbols that a cell can have; for candidate models.
      **task: `vocab_size`, `sequence_length` and `num_puzzle_identifiers` of the data.

    Returns:
      The model.

    Raises:
      ValueError: if the name or a setting is unknown (the message suggests the nearest one),
        settings are incompatible, or a candidate model has no relations.
    """
    settings = dict(config)
    name = settings.pop("name")
    needs_relations = settings.get("relation_bias", False)
    if name in CANDIDATE_MODELS:
        needs_relations, settings["num_symbols"] = True, num_symbols
    if needs_relations:
        if not relations:
            who = "reads candidates, so it" if name in CANDIDATE_MODELS else "with relation_bias"
            raise ValueError(
                f"the model {name!r} {who} needs puzzles with groups of cells that must all "
                "differ, such as 'sudoku'; these puzzles have none"
            )
        settings["relations"] = relations
    # The prefix is a token of the model's own, after those of the puzzles.
    task = task | {"vocab_size": task["vocab_size"] + settings.get("prefix_token", False)}
    return call_by_name("model", MODELS, name, settings | task)


__all__ = [
    "CANDIDATE_MODELS",
    "LDT",
    "MODELS",
    "SERRM",
    "TRM",
    "CandidateModel",
    "CandidateOutputs",
    "Model",
    "ModelParams",
    "Outputs",
    "Relational",
    "ShardingRules",
    "Singles",
    "build",
    "empty_states",
    "export_published",
    "import_published",
    "puzzle_rows",
    "read_published",
]
