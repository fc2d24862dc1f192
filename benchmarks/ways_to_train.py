"""The ways to train that `time_to_target.py` compares.

Each way changes a few settings of a config: how the depth grows, what is weighted, or the model and
its recursion. Adding a way takes one entry. The name of a way can be followed by other settings.
"""

import ast
import functools
import operator
from collections.abc import Callable
from typing import Any

import ml_collections

from cgar_jax.config import PUBLISHED_MODELS, set_method

Change = Callable[[ml_collections.ConfigDict], None]

PROGRESSIVE, SMOOTH = "progressive_depth_curriculum", "smooth_depth_curriculum"
BUDGETED, PLATEAU = "budgeted_depth_curriculum", "plateau_depth_curriculum"


def method(name: str, decay: float = 0.7) -> Change:
    """Returns the change to a method of `set_method`."""
    return lambda config: set_method(config, name, decay)


def curriculum(weighting: str, name: str, **settings: Any) -> Change:
    """Returns the change to another depth curriculum between the config's own depths.

    Args:
      weighting: method whose weighting is used.
      name: name of the curriculum.
      **settings: settings of the curriculum.
    """

    def change(config: ml_collections.ConfigDict) -> None:
        depths = config.curriculum.stages
        set_method(config, weighting)
        ends = {"first": depths[0], "last": depths[-1]}
        between = ends if name == SMOOTH else {"stages": depths}
        config.curriculum = ml_collections.ConfigDict({"name": name} | between | settings)

    return change


def published_hsw(config: ml_collections.ConfigDict) -> None:
    """Changes a config to CGAR with one weight for the whole batch, as in the published code."""
    set_method(config, "cgar")
    ((name, settings),) = config.weighting
    config.weighting = ((name, (*settings, ("per", "batch"), ("normalize", "none"))),)


def optimizer(name: str) -> Change:
    """Returns the change to CGAR with another optimizer, at the same learning rate."""

    def change(config: ml_collections.ConfigDict) -> None:
        set_method(config, "cgar")
        config.optimizer.name = name

    return change


WAYS: dict[str, Change] = {
    "trm": method("trm"),
    "pdc": method("pdc"),
    "hsw": method("hsw"),
    "cgar": method("cgar"),
    "cgar one weight a batch": published_hsw,
    **{f"cgar decay {decay}": method("cgar", decay) for decay in (0.5, 0.6, 0.8, 0.9)},
    "cgar boundaries 0.15 0.3": curriculum("cgar", PROGRESSIVE, boundaries=(0.15, 0.3)),
    "cgar boundaries 0.45 0.9": curriculum("cgar", PROGRESSIVE, boundaries=(0.45, 0.9)),
    "cgar smooth": curriculum("cgar", SMOOTH),
    "cgar smooth to the end": curriculum("cgar", SMOOTH, end=1.0),
    "cgar budget 0.5": curriculum("cgar", BUDGETED, budget=0.5),
    "pdc budget 0.5": curriculum("pdc", BUDGETED, budget=0.5),
    "pdc budget 0.7": curriculum("pdc", BUDGETED, budget=0.7),
    "cgar plateau": curriculum("cgar", PLATEAU),
    "cgar plateau patience 3": curriculum("cgar", PLATEAU, patience=3),
    "cgar plateau latest 0.9": curriculum("cgar", PLATEAU, latest=0.9),
    "pdc plateau": method("plateau"),
    "nested": method("nested"),
    "exits": method("exits"),
    "cgar adam_atan2": optimizer("adam_atan2"),
    "cgar muon": optimizer("muon"),
}
"""The ways that are compared by default."""

PUBLISHED = {
    **{model: method(model) for model in PUBLISHED_MODELS},
    **{f"{model} plateau": method(f"{model}+plateau") for model in PUBLISHED_MODELS},
}
"""Other models, at full depth and with a depth that grows."""


def check(way: str) -> None:
    """Raises a ValueError if there is no such way."""
    name, _ = _parsed(way)
    if name not in WAYS | PUBLISHED:
        known = "; ".join(WAYS | PUBLISHED)
        raise ValueError(f"unknown way {name!r} in {way!r}; choose from: {known}")


def changed(config: ml_collections.ConfigDict, way: str) -> ml_collections.ConfigDict:
    """Returns a copy of a config, changed to a way to train.

    Args:
      config: the config; it is not modified.
      way: a key of `WAYS` or `PUBLISHED`, and any number of settings, such as
        `"pdc plateau optimizer.learning_rate=0.01 model.mlp=normalized"`.
    """
    name, settings = _parsed(way)
    # A ConfigDict that is made from another one would share its parts.
    config = config.copy_and_resolve_references()
    (WAYS | PUBLISHED)[name](config)
    for key, value in settings.items():
        *groups, last = key.split(".")
        group = functools.reduce(operator.getitem, groups, config)
        # The type of the setting decides how its text is read.
        text = isinstance(group[last], str)
        group[last] = value if text else ast.literal_eval(value)
    return config


def _parsed(way: str) -> tuple[str, dict[str, str]]:
    words = way.split()
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    return " ".join(word for word in words if "=" not in word), settings
