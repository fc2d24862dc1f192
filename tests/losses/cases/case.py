import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

BATCH = 8


@dataclasses.dataclass(frozen=True)
class Case:
    """Arguments and properties of one loss.

    Attributes:
      arguments: function from a random generator to the array arguments, by name; arrays
        `[BATCH, ...]` have a row for each example.
      differentiable: names of the arguments that the loss is differentiated by.
      settings: all other arguments.
      per_example: whether the loss of an example is independent of the others of its batch.
      keeps_dtype: whether the loss returns the dtype of its input; other losses return float32.
    """

    arguments: Callable[[np.random.Generator], dict[str, Any]]
    differentiable: tuple[str, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    per_example: bool = True
    keeps_dtype: bool = False


def logits_and_labels(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "logits": rng.normal(size=(BATCH, 5)).astype(np.float32),
        "labels": rng.integers(0, 5, BATCH),
    }
