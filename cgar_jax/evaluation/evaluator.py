"""Scoring a model on puzzles at full depth: after all supervision steps, or when each halts."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cgar_jax.curricula import Depth
from cgar_jax.data.schema import MODEL_COLUMNS, pad_batch
from cgar_jax.mesh import over_batch, place, replicated
from cgar_jax.recursion.correctness import Correctness, correctness_of_answers
from cgar_jax.recursion.thinking import (
    Rows,
    attempt,
    empty_states,
    think,
    think_apart,
    think_until_halted,
)
from cgar_jax.training.state import Weights


class Predictions(NamedTuple):
    """What a model said of some examples; steps are supervision steps."""

    answers: np.ndarray  # [num, sequence_length] int32, after the last step
    halting_probabilities: np.ndarray  # [num] float32, after the last step
    halts: np.ndarray  # [steps, num] bool, whether the halting logit is > 0
    exact: np.ndarray  # [steps, num] bool, see `Correctness`
    cell_accuracy: np.ndarray  # [steps, num] float32
    counts: np.ndarray  # [num] bool


_EXAMPLE_AXES = Predictions(0, 0, halts=1, exact=1, cell_accuracy=1, counts=0)


class Evaluator:
    """Evaluates sets of any size; all that fill a batch share one compiled program."""

    def __init__(
        self, model: Any, depth: Depth, num_supervision_steps: int, batch_size: int, mesh: Mesh
    ):
        """Evaluates `batch_size` puzzles at a time, rounded up to what the mesh divides."""
        self._batch_size, self._mesh = batch_size, mesh
        thinks = functools.partial(think, model, depth, num_supervision_steps, attempt)
        self._predict = jax.jit(
            functools.partial(_predict, model, functools.partial(think_apart, mesh, thinks)),
            out_shardings=replicated(mesh),
        )
        self._until_halted = jax.jit(
            functools.partial(think_until_halted, mesh, model, depth, num_supervision_steps),
            out_shardings=replicated(mesh),
        )

    def predict(self, weights: Weights, examples: dict[str, np.ndarray]) -> Iterator[Predictions]:
        """Predicts `examples`, a batch at a time and in their order.

        Args:
          weights: of the model, as they lie on the devices.
          examples: arrays `[num, ...]`: `inputs`, `labels`, `puzzle_identifiers`.
        """
        num = len(examples["inputs"])
        # A set smaller than a batch pays for itself alone.
        size = self._divisible(min(self._batch_size, num))
        waiting = None
        for start in range(0, num, size or 1):
            batch = {name: examples[name][start : start + size] for name in _NAMES}
            placed = place(pad_batch(batch, MODEL_COLUMNS, size), over_batch(self._mesh))
            found = self._predict(weights, placed), len(batch["inputs"])
            if waiting is not None:  # the device works on this batch while the last one is read
                yield _unpad(*waiting)
            waiting = found
        if waiting is not None:
            yield _unpad(*waiting)

    def __call__(
        self,
        weights: Weights,
        examples: dict[str, np.ndarray],
        accepts: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Scores `examples`.

        Args:
          weights: as for `predict`.
          examples: as for `predict`; with `difficulty`, `[num]`, for accuracy by difficulty.
          accepts: `(inputs, answers) -> bool [num]`, whether an answer obeys the rules of its
            puzzle, be it the one labelled or not.

        Returns:
          `exact_accuracy` and its `exact_accuracy_interval` (see `accuracy_interval`),
          `cell_accuracy` (after the last supervision step), the same by step as lists
          `exact_accuracy_by_step`, `cell_accuracy_by_step`, `halting_accuracy` (halting logit > 0
          against solved, after the last step), `mean_halting_step` (first step whose halting logit
          is > 0, else the last), `num_examples`, examples without a cell that counts left out;
          `accepted_accuracy` if there is `accepts`; `exact_accuracy_by_difficulty` as in
          `accuracy_by_difficulty` if there is `difficulty`.

        Raises:
          ValueError: the set is empty.
        """
        _check_some(examples)
        parts, accepted, row = [], [], 0
        for part in self.predict(weights, examples):
            if accepts is not None:
                inputs = examples["inputs"][row : row + len(part.answers)]
                accepted.append(accepts(inputs, part.answers))
            row += len(part.answers)
            parts.append(part._replace(answers=part.answers[:, :0]))
        whole = join(parts)
        scores = _scores_by_step(whole)
        if accepts is not None:
            right = np.concatenate(accepted)[whole.counts]
            scores["accepted_accuracy"] = float(right.mean()) if right.size else 0.0
        if "difficulty" in examples:
            scores["exact_accuracy_by_difficulty"] = accuracy_by_difficulty(
                whole.exact[-1][whole.counts], np.asarray(examples["difficulty"])[whole.counts]
            )
        return scores

    def until_halted(self, weights: Weights, examples: dict[str, np.ndarray]) -> dict[str, Any]:
        """Scores the answers that puzzles have when they halt, for the price of these steps alone.

        Args:
          weights: as for `predict`.
          examples: as for `predict`; all of them lie on the devices at once.

        Returns:
          As of a call `exact_accuracy`, `exact_accuracy_interval`, `cell_accuracy`,
          `mean_halting_step` and `num_examples`, and `halting_accuracy`, of halting before the last
          step or at it against solved.

        Raises:
          ValueError: the set is empty.
        """
        _check_some(examples)
        num = len(examples["inputs"])
        columns = pad_batch(examples, MODEL_COLUMNS, self._divisible(num))
        placed = place(columns, over_batch(self._mesh))
        thoughts = self._until_halted(weights, placed["inputs"], placed["puzzle_identifiers"])
        (answers, halt_logits), steps = jax.device_get(thoughts)
        right = jax.device_get(correctness_of_answers(answers, columns["labels"]))
        return _scores(right, halt_logits > 0, steps)

    def _divisible(self, num: int) -> int:
        return -(-num // self._mesh.size) * self._mesh.size


_NAMES = tuple(column.name for column in MODEL_COLUMNS)


def _check_some(examples: dict[str, np.ndarray]) -> None:
    if not len(examples["inputs"]):
        raise ValueError("nothing to evaluate: the set of examples is empty")


def _predict(
    model: Any, thinks: Callable, weights: Weights, batch: dict[str, jax.Array]
) -> Predictions:
    """What a model says of a batch after all the supervision steps of `thinks`."""
    identifiers = batch["puzzle_identifiers"]
    zeros = jnp.zeros_like(identifiers)
    rows = Rows(batch["inputs"], identifiers, zeros, zeros, zeros)
    _, attempts = thinks(weights, empty_states(model, len(identifiers)), rows)
    right = correctness_of_answers(attempts.answers, batch["labels"])
    last = jax.tree.map(lambda by_step: by_step[-1], attempts)
    return Predictions(
        last.answers.astype(jnp.int32),
        jax.nn.sigmoid(last.halt_logits),
        attempts.halt_logits > 0,
        right.exact,
        right.cell_accuracy,
        right.counts,
    )


def _unpad(predictions: Predictions, num: int) -> Predictions:
    return jax.tree.map(
        lambda column, axis: column[:, :num] if axis else column[:num],
        jax.device_get(predictions),
        _EXAMPLE_AXES,
    )


def join(parts: Iterable[Predictions]) -> Predictions:
    """The predictions of several batches as those of one."""
    return jax.tree.map(lambda axis, *columns: np.concatenate(columns, axis), _EXAMPLE_AXES, *parts)


def _scores_by_step(predictions: Predictions) -> dict[str, Any]:
    counts, halts = predictions.counts, predictions.halts
    last = Correctness(counts, predictions.exact[-1], predictions.cell_accuracy[-1])
    first_halt = np.minimum(first_halting_steps(halts), len(halts))
    return _scores(last, halts[-1], first_halt) | {
        "exact_accuracy_by_step": _mean(predictions.exact, counts),
        "cell_accuracy_by_step": _mean(predictions.cell_accuracy, counts),
    }


def _scores(right: Correctness, halts: np.ndarray, halting_steps: np.ndarray) -> dict[str, Any]:
    """Figures of the answers that count, arguments `[num]`."""
    counts = right.counts
    num = int(counts.sum())
    return {
        "exact_accuracy": _mean(right.exact, counts),
        "exact_accuracy_interval": accuracy_interval(int(right.exact[counts].sum()), num),
        "cell_accuracy": _mean(right.cell_accuracy, counts),
        "halting_accuracy": _mean(halts == right.exact, counts),
        "mean_halting_step": _mean(halting_steps, counts),
        "num_examples": num,
    }


def _mean(values: np.ndarray, counts: np.ndarray) -> Any:
    """Over the examples that count, the last axis; 0 if none does."""
    return (values[..., counts].sum(-1, dtype=np.float64) / max(int(counts.sum()), 1)).tolist()


def accuracy_interval(num_right: int, num: int) -> list[float]:
    """Wilson's 95 % confidence interval of a share, as `[low, high]`; `[0, 1]` of no examples.

    It is of the share among all examples of which these were drawn at random.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    from scipy import stats  # which takes a while

    interval = stats.binomtest(num_right, num).proportion_ci(method="wilson") if num else (0, 1)
    return [float(bound) for bound in interval]


def first_halting_steps(halts: np.ndarray) -> np.ndarray:
    """The first supervision step, from 1, at which each example halts; steps + 1 if none.

    Args:
      halts: bool `[steps, num]`.
    """
    return np.where(halts.any(0), halts.argmax(0), len(halts)) + 1


def accuracy_by_difficulty(
    exact: np.ndarray, difficulty: np.ndarray, num_groups: int = 10
) -> list[dict[str, float]]:
    """Returns the accuracy in groups of about equal size, from easy to hard.

    Examples of the same difficulty are never parted: there are fewer groups where there are few
    different values.

    Args:
      exact: bool `[num]`.
      difficulty: `[num]`.
      num_groups: how many at most; ten are deciles.

    Returns:
      For each group `low` and `high`, the difficulties found in it, `num_examples` and
      `exact_accuracy`.
    """
    if not len(exact):
        return []
    firsts = -(-np.arange(1, num_groups) * len(exact) // num_groups)  # ranks that begin a group
    begins = np.unique(np.sort(difficulty)[firsts[firsts < len(exact)]])
    group_of = np.searchsorted(begins, difficulty, side="right")
    groups = [group_of == group for group in np.unique(group_of)]
    return [
        {
            "low": float(difficulty[group].min()),
            "high": float(difficulty[group].max()),
            "num_examples": int(group.sum()),
            "exact_accuracy": float(exact[group].mean()),
        }
        for group in groups
    ]
