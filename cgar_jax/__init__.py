"""Cheap training of tiny recursive reasoning models in JAX, made of parts that can be reused.

The reusable rooms are imported by name: `from cgar_jax import losses, weighting, curricula`. They
bring in neither the data nor the training rooms. `cgar_jax.train` trains a model, and
`cgar_jax.load` opens a trained one.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cgar_jax._core import extras

if TYPE_CHECKING:
    from cgar_jax.commands.train import train
    from cgar_jax.model_loading import load
    from cgar_jax.trained_model import TrainedModel

__version__ = "0.1.0"
__all__ = ["TrainedModel", "load", "train"]

_MODULES = {"TrainedModel": "trained_model", "load": "model_loading", "train": "commands.train"}


def __getattr__(name: str) -> Any:
    # Training and loading need the trainer's libraries, which the reusable rooms do without.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extras.explain_missing():
        return getattr(importlib.import_module(f"cgar_jax.{_MODULES[name]}"), name)
