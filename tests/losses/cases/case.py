import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

BATCH = 8


@dataclasses.dataclass(frozen=True)
class Case:
    """How to exercise one loss.

    Attributes:
      arguments: makes its array arguments, by name, from a random generator; those `[BATCH, ...]`
        have a row for each example.
      differentiable: the arguments that its gradient is for.
      settings: its other arguments.
      per_example: the loss of an example does not depend on the others of its batch.
      keeps_dtype: it is a loss of losses and gives back their dtype; others give float32.
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
