"""Trains tiny recursive reasoning models cheaply in JAX, and offers the parts that make it cheap.

The reusable rooms are imported by name: `from cgar_jax import losses, weighting, curricula`. They
bring in neither the data nor the training rooms. `cgar_jax.load` opens a trained model.
"""

from typing import TYPE_CHECKING, Any

from cgar_jax._core import extras

if TYPE_CHECKING:
    from cgar_jax.trained_model import TrainedModel, load

__version__ = "0.1.0"
__all__ = ["TrainedModel", "load"]


def __getattr__(name: str) -> Any:
    # Loading a model needs the trainer's libraries, which the reusable rooms do without.
    if name in __all__:
        with extras.explain_missing():
            from cgar_jax import trained_model
        return getattr(trained_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
