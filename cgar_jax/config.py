"""The settings of an experiment: every key there is, with the published TRM's values.

A file in `configs/` calls `default_config` and changes what is different; the command line may
change anything again (`--config.optimizer.learning_rate=3e-4`). Keys that do not exist are errors.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ml_collections

from cgar_jax._core.registry import check_name
from cgar_jax.data.families import FAMILIES
from cgar_jax.data.sources import LoadOptions

METHODS = ("cgar", "pdc", "hsw", "trm", "plateau", "nested", "exits")


def default_config() -> ml_collections.ConfigDict:
    """TRM with token mixing on Sudoku-Extreme as published, trained with CGAR."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.batch_size = 768

    config.data = data_config("sudoku")

    # Attributes of a model in cgar_jax/models, by name.
    config.model = ml_collections.ConfigDict()
    config.model.name = "trm"
    config.model.hidden_size = 512
    config.model.num_layers = 2
    config.model.mixing = "mlp"
    config.model.positions = "none"
    config.model.num_heads = 8
    config.model.expansion = 4.0
    config.model.inner_size_multiple = 256
    config.model.puzzle_embedding_tokens = 16
    config.model.puzzle_embedding_size = 0
    config.model.dtype = "bfloat16"
    config.model.param_dtype = "float32"

    config.supervision = ml_collections.ConfigDict()
    config.supervision.max_supervision_steps = 16
    config.supervision.exploration_probability = 0.1

    config.loss = ml_collections.ConfigDict()
    config.loss.answer = "stablemax_cross_entropy_loss"
    config.loss.halting_weight = 0.5

    # Arguments of a curriculum in cgar_jax/curricula, by name.
    config.curriculum = ml_collections.ConfigDict()
    config.curriculum.name = "progressive_depth_curriculum"
    config.curriculum.stages = ((2, 1), (4, 2), (6, 3))
    config.curriculum.boundaries = (0.3, 0.6)
    # Which examples a batch holds: arguments of a sampling in cgar_jax/curricula, by name.
    config.sampling = ml_collections.ConfigDict({"name": "uniform_sampling"})
    # Loss transforms of cgar_jax/weighting in their order: (name, settings) or (name, settings,
    # terms).
    config.weighting = ()

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "adam_atan2"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 2_000
    config.optimizer.schedule = "constant"
    config.optimizer.final_fraction = 1.0
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.95
    config.optimizer.weight_decay = 1.0
    config.optimizer.clip_norm = 0.0
    config.optimizer.ema_decay = 0.999
    config.optimizer.puzzle_learning_rate = 1e-4
    config.optimizer.puzzle_weight_decay = 1.0

    config.training = ml_collections.ConfigDict()
    config.training.steps = 65_000
    # Metrics are told, and signals heard, between dispatches: a scheduler's grace is for several.
    config.training.steps_per_dispatch = 50
    # Of each device's share of the batch: the same gradient with less memory, in more time.
    config.training.microbatches = 1

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_steps = 1_000
    config.checkpoint.keep = 3

    # During training, `num_examples` drawn once from the validation split; at the end, the whole
    # test split.
    config.evaluation = ml_collections.ConfigDict()
    config.evaluation.every_steps = 5_000
    config.evaluation.num_examples = 500
    config.evaluation.batch_size = 768
    # Scores during training are of the answers at halting, which is cheap and may differ from those
    # after all steps while the model learns when to halt; the final score is after all steps.
    config.evaluation.until_halted = True
    # Of ARC: in how many variants each test is asked at the end, 0 for all there are.
    config.evaluation.num_variants = 0

    # Devices by mesh axis, -1 for all that the other leaves. The batch is split over both;
    # parameters and optimizer over `fsdp`.
    config.mesh = ml_collections.ConfigDict({"data": -1, "fsdp": 1})
    return config


def data_config(name: str) -> ml_collections.ConfigDict:
    """Returns the default settings of a puzzle family: "arc", "maze" or "sudoku".

    The keys and their defaults are the attributes of the family's `Source` (such as
    `cgar_jax.data.sudoku.SudokuSource`) and of `cgar_jax.data.LoadOptions`, which document them.

    Args:
      name: name of the family, a key of `cgar_jax.data.FAMILIES`.

    Raises:
      ValueError: if there is no such family.
    """
    check_name("family of puzzles", name, FAMILIES)
    settings = dataclasses.asdict(FAMILIES[name]()) | dataclasses.asdict(LoadOptions())
    return ml_collections.ConfigDict({"name": name, **settings})


def set_arc(config: ml_collections.ConfigDict) -> None:
    """Gives a model and its training the settings published for ARC, but for the steps."""
    config.sampling.name = "epoch_sampling"
    config.model.mixing = "attention"
    config.model.positions = "rotary"
    config.curriculum.stages = ((2, 1), (3, 2), (4, 3))
    config.optimizer.weight_decay = 0.1
    config.optimizer.puzzle_learning_rate = 1e-2
    config.optimizer.puzzle_weight_decay = 0.1
    # A checkpoint has the embeddings of all variants: about 2 GB.
    config.checkpoint.every_steps = 10_000
    config.evaluation.every_steps = 10_000


def set_mini(config: ml_collections.ConfigDict) -> None:
    """Makes the model small and its training short: minutes on two CPU cores."""
    config.batch_size = 32

    config.model.hidden_size = 64
    config.model.expansion = 2.0
    config.model.inner_size_multiple = 64
    config.model.puzzle_embedding_tokens = 1
    config.model.dtype = "float32"

    config.supervision.max_supervision_steps = 8

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 30
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 0.05
    config.optimizer.weight_decay = 0.1
    config.optimizer.ema_decay = 0.98

    config.training.steps = 1_200
    config.training.steps_per_dispatch = 20
    config.checkpoint.every_steps = 200
    config.evaluation.every_steps = 200
    config.evaluation.num_examples = 250
    config.evaluation.batch_size = 250


def set_method(config: ml_collections.ConfigDict, method: str, decay: float = 0.7) -> None:
    """Chooses the depth curriculum and the weighting of supervision steps by one word.

    "cgar" has a depth that grows (PDC) and weighs early steps more (HSW); "pdc" and "hsw" have one
    of the two, "trm" neither. "plateau" is PDC whose depth grows when the loss has stopped
    falling; the last depth begins where that of "pdc" does at the latest. "nested" draws the
    number of cycles at each step (SortedNet), "exits" supervises the answer after each cycle
    (SoFT). All but "cgar" and "hsw" weigh all steps alike.

    Call it last: the full depth is the curriculum's last stage. Weightings that the config had are
    replaced.

    Raises:
      ValueError: an unknown method, or a curriculum that is not the progressive one any more.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    if config.curriculum.name != "progressive_depth_curriculum":
        raise ValueError(
            f"the config has the curriculum {config.curriculum.name!r} already; choose a method "
            "for one whose curriculum is progressive, as that of 'cgar' and of the default"
        )
    n, cycles = depth = config.curriculum.stages[-1]
    fixed = {"name": "fixed_depth_curriculum", "depth": depth}
    plateau = {
        "name": "plateau_depth_curriculum",
        "stages": config.curriculum.stages,
        "latest": config.curriculum.boundaries[-1],
    }
    nested = tuple((n, cycle) for cycle in range(1, cycles + 1))
    curriculum = {
        "hsw": fixed,
        "trm": fixed,
        "plateau": plateau,
        "nested": {"name": "nested_depth_curriculum", "depths": nested},
        "exits": {"name": "sorted_exits_curriculum", "depth": depth},
    }
    if method in curriculum:
        config.curriculum = ml_collections.ConfigDict(curriculum[method])
    settings = {"decay": decay, "num_steps": config.supervision.max_supervision_steps}
    hierarchical = (("hierarchical_supervision_weighting", settings),)
    config.weighting = hierarchical if method in ("cgar", "hsw") else ()


def grid(choices: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """All combinations of settings, for the `get_sweep` of a config file (`launch/sweep.py`).

    Args:
      choices: the values that each key takes, such as
        `{"seed": range(3), "optimizer.learning_rate": (1e-4, 3e-4)}`.

    Returns:
      One dict of overrides for each run; the last key changes fastest. Grids are joined by `+`.

    Raises:
      ValueError: a key has no values, or a string where a list of them belongs.
    """
    for key, values in choices.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"{key} is {values!r}; a grid wants a list of its values")
    listed = {key: list(values) for key, values in choices.items()}
    for key, values in listed.items():
        if not values:
            raise ValueError(f"{key} has no values to try")
    return [dict(zip(listed, each, strict=True)) for each in itertools.product(*listed.values())]


def source_of(config: ml_collections.ConfigDict) -> str:
    """The text of a config file for the same experiment: it sets what differs from the default."""
    default, lines = default_config(), []
    if config.data.name != default.data.name:
        default.data = data_config(config.data.name)
        lines.append(f"config.data = data_config({config.data.name!r})")
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
    """A line for each setting that differs; groups with other keys are set as a whole."""
    for key, value in config.items():
        usual, here = default.get(key), f"{path}.{key}"
        if not isinstance(value, ml_collections.ConfigDict):
            if _literal(value) != _literal(usual):
                yield f"{here} = {_literal(value)}"
        elif isinstance(usual, ml_collections.ConfigDict) and set(value) == set(usual):
            yield from _assignments(here, usual, value)
        else:
            yield f"{here} = ml_collections.ConfigDict({_literal(value)})"


def _literal(value: Any) -> str:
    """A value as Python source; lists, which JSON makes of tuples, as tuples."""
    if isinstance(value, Mapping | ml_collections.ConfigDict):
        return f"{{{', '.join(f'{k!r}: {_literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        each = ", ".join(map(_literal, value))
        return f"({each},)" if len(value) == 1 else f"({each})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)
