"""The ways to train that `time_to_target.py` compares.

Each way changes a few settings of a config: `WAYS` how the depth grows and what is weighted, and
`VARIANTS` the model and its recursion. Adding a way takes one entry.
"""

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


def plateau(**settings: Any) -> Change:
    """Returns the change to the method "plateau" and some settings, with `__` for the dot."""

    def change(config: ml_collections.ConfigDict) -> None:
        set_method(config, "plateau")
        for key, value in settings.items():
            group, _, name = key.partition("__")
            config[group][name] = value

    return change


MUON = {"optimizer__name": "muon", "optimizer__learning_rate": 0.02, "optimizer__clip_norm": 1.0}
VARIANTS: dict[str, Change] = {
    **{f"{model} plateau": method(f"{model}+plateau") for model in PUBLISHED_MODELS},
    **{model: method(model) for model in PUBLISHED_MODELS},
    "plateau no tokens": plateau(model__puzzle_embedding_tokens=0),
    "plateau normalized": plateau(model__mlp="normalized"),
    "plateau muon": plateau(**MUON),
    "plateau normalized muon": plateau(model__mlp="normalized", **MUON),
    "plateau 2 cycles": plateau(recursion__gradient_cycles=2),
    "plateau all cycles": plateau(recursion__gradient_cycles=0),
}


def changed(config: ml_collections.ConfigDict, way: str) -> ml_collections.ConfigDict:
    """Returns a copy of a config, changed to a way to train.

    Args:
      config: the config; it is not modified.
      way: a key of `WAYS` or `VARIANTS`.
    """
    # A ConfigDict that is made from another one would share its parts.
    config = config.copy_and_resolve_references()
    (WAYS | VARIANTS)[way](config)
    return config
