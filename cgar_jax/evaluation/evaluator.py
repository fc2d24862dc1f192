"""The evaluator: scores of a model on puzzles at full depth.

Puzzles run for all supervision steps or, at a lower cost, until each of them halts.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from cgar_jax.data.schema import MODEL_COLUMNS, pad_batch
from cgar_jax.evaluation.accuracy import (
    EXAMPLE_AXES,
    StepPredictions,
    accuracy_by_difficulty,
    figures,
    figures_by_step,
)
from cgar_jax.mesh import over_batch, place, replicated
from cgar_jax.models import ModelParams
from cgar_jax.recursion import Reasoner, Rollouts, correctness_of_answers

Examples = Mapping[str, np.ndarray]
Accepts = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(inputs, answers) -> bool [num]`: whether each answer obeys the rules of its puzzle."""

_NAMES = tuple(column.name for column in MODEL_COLUMNS)


class Evaluator:
    """Scores sets of examples of any size; all full batches share one compiled program."""

    def __init__(self, reasoner: Reasoner, batch_size: int):
        """Prepares an evaluator; nothing is compiled before the first call.

        Args:
          reasoner: the model with its depth, number of supervision steps and mesh.
          batch_size: puzzles per batch, rounded up to a multiple of the number of devices.
        """
        self._batch_size, self._mesh = batch_size, reasoner.mesh
        whole = replicated(reasoner.mesh)
        self._predict = jax.jit(functools.partial(_predict, reasoner), out_shardings=whole)
        self._until_halted = jax.jit(reasoner.think_until_halted, out_shardings=whole)
        self._rule = reasoner.halting_rule

    def predict(self, params: ModelParams, examples: Examples) -> Iterator[StepPredictions]:
        """Yields predictions for `examples`, in their order and batch by batch.

        Args:
          params: parameters of the model, on the devices.
          examples: arrays `[num, ...]` named `inputs`, `labels` and `puzzle_identifiers`.
        """
        num = len(examples["inputs"])
        # A set that is smaller than a batch gets a program of its own size.
        size = self._divisible(min(self._batch_size, num))
        waiting = None
        for start in range(0, num, size or 1):
            batch = {name: examples[name][start : start + size] for name in _NAMES}
            placed = place(pad_batch(batch, MODEL_COLUMNS, size), over_batch(self._mesh))
            found = self._predict(params, placed), len(batch["inputs"])
            if waiting is not None:  # the device works on this batch while the last one is read
                yield _unpad(*waiting)
            waiting = found
        if waiting is not None:
            yield _unpad(*waiting)

    def __call__(
        self,
        params: ModelParams,
        examples: Examples,
        accepts: Accepts | None = None,
        on_progress: Callable[[int], None] = lambda num_done: None,
    ) -> dict[str, Any]:
        """Scores `examples` after all supervision steps.

        Args:
          params: as for `predict`.
          examples: as for `predict`; with `difficulty`, `[num]`, for accuracy by difficulty.
          accepts: function that checks answers by the rules of the puzzles, for right answers that
            differ from the label; None if there are no rules.
          on_progress: called with the number of newly scored examples.

        Returns:
          `exact_accuracy` and its 95 % `exact_accuracy_interval`, `cell_accuracy` (after the last
          supervision step), the lists `exact_accuracy_by_step` and `cell_accuracy_by_step`,
          `halting_accuracy` (whether the halting logit after the last step is positive, against
          whether the answer is right), `mean_halting_step` (first step with a positive halting
          logit, or the last step), and `num_examples`. Examples without a cell that counts are left
          out. With `accepts` there is also `accepted_accuracy`; with a `difficulty` also
          `exact_accuracy_by_difficulty` (see `accuracy_by_difficulty`).

        Raises:
          ValueError: if the set is empty.
        """
        _check_not_empty(examples)
        parts, accepted, row = [], [], 0
        for part in self.predict(params, examples):
            num = len(part.answers)
            if accepts is not None:
                accepted.append(accepts(examples["inputs"][row : row + num], part.answers))
            row += num
            parts.append(part._replace(answers=part.answers[:, :0]))
            on_progress(num)
        whole = join(parts)
        scores = figures_by_step(whole)
        if accepts is not None:
            right = np.concatenate(accepted)[whole.counts]
            scores["accepted_accuracy"] = float(right.mean()) if right.size else 0.0
        if "difficulty" in examples:
            scores["exact_accuracy_by_difficulty"] = accuracy_by_difficulty(
                whole.exact[-1][whole.counts], np.asarray(examples["difficulty"])[whole.counts]
            )
        return scores

    def until_halted(self, params: ModelParams, examples: Examples) -> dict[str, Any]:
        """Scores the answers with which puzzles halt; later steps are not computed.

        Args:
          params: as for `predict`.
          examples: as for `predict`; all of them are put on the devices at once.

        Returns:
          `exact_accuracy`, `exact_accuracy_interval`, `cell_accuracy`, `mean_halting_step` and
          `num_examples` as for a call; `halting_accuracy` compares a positive halting logit at the
          step of halting with a right answer.

        Raises:
          ValueError: if the set is empty.
        """
        _check_not_empty(examples)
        num = len(examples["inputs"])
        columns = pad_batch(examples, MODEL_COLUMNS, self._divisible(num))
        placed = place(columns, over_batch(self._mesh))
        found = self._until_halted(params, placed["inputs"], placed["puzzle_identifiers"])
        (answers, halt_logits, _), steps = jax.device_get(found)
        right = jax.device_get(correctness_of_answers(answers, columns["labels"]))
        return figures(right, self._rule.is_confident(halt_logits), steps)

    def _divisible(self, num: int) -> int:
        return -(-num // self._mesh.size) * self._mesh.size


def join(parts: Iterable[StepPredictions]) -> StepPredictions:
    """Concatenates the predictions of several batches."""
    return jax.tree.map(lambda axis, *columns: np.concatenate(columns, axis), EXAMPLE_AXES, *parts)


def _check_not_empty(examples: Examples) -> None:
    if not len(examples["inputs"]):
        raise ValueError("there is nothing to evaluate: the set of examples is empty")


def _predict(
    reasoner: Reasoner, params: ModelParams, batch: Mapping[str, jax.Array]
) -> StepPredictions:
    """Predicts one batch on the device."""
    rollouts = Rollouts.plain(batch["inputs"], batch["puzzle_identifiers"])
    states = reasoner.empty_states(len(rollouts.inputs))
    _, by_step = reasoner.think_on_mesh(params, states, rollouts)
    right = correctness_of_answers(by_step.answers, batch["labels"])
    return StepPredictions(
        by_step.answers[-1].astype(np.int32),
        jax.nn.sigmoid(by_step.halt_logits[-1]),
        reasoner.halting_rule.is_confident(by_step.halt_logits),
        right.exact,
        right.cell_accuracy,
        right.counts,
    )


def _unpad(predictions: StepPredictions, num: int) -> StepPredictions:
    return jax.tree.map(
        lambda column, axis: column[:, :num] if axis else column[:num],
        jax.device_get(predictions),
        EXAMPLE_AXES,
    )
