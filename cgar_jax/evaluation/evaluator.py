"""Scoring a model on a set of puzzles: full depth, all supervision steps, nothing halts early."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cgar_jax.curricula import Depth
from cgar_jax.evaluation.metrics import correctness
from cgar_jax.losses import IGNORE_LABEL
from cgar_jax.recursion import supervision_step


class Evaluator:
    """Evaluates any set with one compiled program, whatever the size of the set."""

    def __init__(
        self, model: Any, depth: Depth, num_supervision_steps: int, batch_size: int, mesh: Mesh
    ):
        """Evaluates `batch_size` puzzles at a time, rounded up to what the mesh divides."""
        devices = mesh.shape["data"]
        self._batch_size = -(-batch_size // devices) * devices
        whole = NamedSharding(mesh, PartitionSpec())
        batch = NamedSharding(mesh, PartitionSpec("data"))
        self._batch_sums = jax.jit(
            functools.partial(_batch_sums, model, depth, num_supervision_steps),
            in_shardings=(whole, whole, batch),
            out_shardings=whole,
        )

    def __call__(
        self, variables: Any, puzzle_table: jax.Array, examples: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        """Scores `examples`.

        Args:
          variables: of the model, usually with the averaged parameters.
          puzzle_table: `[num_puzzle_identifiers, puzzle_embedding_size]`.
          examples: arrays `[num, ...]`: `inputs`, `labels`, `puzzle_identifiers`.

        Returns:
          `exact_accuracy`, `cell_accuracy` (after the last supervision step), the same by step as
          lists `exact_accuracy_by_step`, `cell_accuracy_by_step`, `halting_accuracy` (halting logit
          > 0 against solved, after the last step), `mean_halting_step` (first step whose halting
          logit is > 0, else the last) and `num_examples`, examples without a cell that counts left
          out.

        Raises:
          ValueError: the set is empty.
        """
        num = len(examples["inputs"])
        if num == 0:
            raise ValueError("nothing to evaluate: the set of examples is empty")
        total = None
        for start in range(0, num, self._batch_size):
            rows = slice(start, start + self._batch_size)
            batch = self._pad({name: examples[name][rows] for name in COLUMNS})
            sums = self._batch_sums(variables, puzzle_table, batch)
            total = sums if total is None else jax.tree.map(jnp.add, total, sums)
        return _finish(jax.device_get(total))

    def _pad(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Fills the last batch up with examples of which no cell counts."""
        missing = self._batch_size - len(batch["inputs"])

        def fill(column, value):
            widths = ((0, missing),) + ((0, 0),) * (column.ndim - 1)
            return np.pad(column.astype(np.int32), widths, constant_values=value)

        return {n: fill(c, IGNORE_LABEL if n == "labels" else 0) for n, c in batch.items()}


COLUMNS = ("inputs", "labels", "puzzle_identifiers")


def _batch_sums(model, depth, num_supervision_steps, variables, puzzle_table, batch):
    """Sums over a batch; `[num_supervision_steps]` where a number is wanted for each step."""
    puzzle_rows = puzzle_table[batch["puzzle_identifiers"]]
    start = model.apply(variables, method="initial_state")
    shape = (batch["inputs"].shape[0], *model.state_shape)

    def step(states, _):
        y, z, outputs = supervision_step(
            model, variables, batch["inputs"], puzzle_rows, *states, depth
        )
        right = correctness(outputs.logits, batch["labels"])
        return (y, z), (right, outputs.halt_logits > 0)

    states = tuple(jnp.broadcast_to(state, shape) for state in start)
    _, (right, believed) = lax.scan(step, states, length=num_supervision_steps)
    counts = right.counts[0]
    first_halt = jnp.where(believed.any(0), believed.argmax(0) + 1, num_supervision_steps)
    return {
        "num_examples": counts.sum(),
        "exact": right.exact.sum(1),
        "cells": right.cell_accuracy.sum(1),
        "halting_right": (counts & (believed[-1] == right.exact[-1])).sum(),
        "halting_step": jnp.where(counts, first_halt, 0).sum(),
    }


def _finish(sums: dict[str, np.ndarray]) -> dict[str, Any]:
    num = int(sums["num_examples"])
    mean = {name: (np.float64(value) / max(num, 1)).tolist() for name, value in sums.items()}
    return {
        "exact_accuracy": mean["exact"][-1],
        "cell_accuracy": mean["cells"][-1],
        "exact_accuracy_by_step": mean["exact"],
        "cell_accuracy_by_step": mean["cells"],
        "halting_accuracy": mean["halting_right"],
        "mean_halting_step": mean["halting_step"],
        "num_examples": num,
    }
