"""Solving many puzzles with a trained model, each for only as long as it needs.

A batch is made of *groups*: a group is one puzzle and its rollouts. A puzzle that is done leaves
the batch and the next one takes its place; when no puzzle is waiting, the batch shrinks. The time
for a large file therefore depends on the steps of all its puzzles, not only of the hardest.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax._core.registry import check_name
from cgar_jax.data.augmentation import draw_views
from cgar_jax.data.symmetries import LineSymmetries, SquareSymmetries, Views
from cgar_jax.evaluation.places import Places, take
from cgar_jax.mesh import over_batch, place
from cgar_jax.models import ModelParams
from cgar_jax.recursion import Noise, Prediction, Reasoner, Rollouts, States

STOPS = ("verified", "first_halting", "halting", "budget")
CHOICES = ("halting", "majority", "residual")
WINDOW = 3
"""The number of last steps over which residuals are averaged."""

Verify = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(questions, answers) -> bool [num]`: whether each answer obeys the rules of its puzzle."""


class Solution(NamedTuple):
    """The answer to a puzzle.

    Attributes:
      answer: tokens of the chosen answer, uint8 `[num_cells]`.
      verified: whether the answer obeys the rules; False without a verifier.
      supervision_steps: number of steps that each rollout of the puzzle took.
      halting_probability: the model's own probability that the answer is right.
    """

    answer: np.ndarray
    verified: bool
    supervision_steps: int
    halting_probability: float


@dataclasses.dataclass(frozen=True)
class RolloutOptions:
    """The number of rollouts per puzzle, and what makes them differ.

    Attributes:
      num_rollouts: K, rollouts per puzzle; the first is without noise.
      noise: standard deviation of the noise in the latent state of the other rollouts.
      batch_size: number of puzzles in a batch, each with all its rollouts.
      seed: random seed for noise and copies.
      symmetries: symmetries of the puzzles; if given, the other rollouts work on symmetric copies
        of a puzzle, without noise, and their answers are mapped back.

    Raises:
      ValueError: if a setting is out of range.
    """

    num_rollouts: int = 1
    noise: float = 0.3
    batch_size: int = 64
    seed: int = 0
    symmetries: SquareSymmetries | LineSymmetries | None = None

    def __post_init__(self):
        for name in ("num_rollouts", "batch_size"):
            _check_positive(name, getattr(self, name))
        if self.noise < 0:
            raise ValueError(f"noise is {self.noise}; expected 0 or more")

    def noise_for_rollouts(self) -> Noise | None:
        """Returns the noise of the rollouts; None if they have none."""
        if self.num_rollouts == 1 or self.symmetries is not None:
            return None
        return Noise(self.noise, jax.random.key(self.seed))

    def views(self) -> Views | None:
        """Returns the copies that the rollouts of a puzzle work on; None for the puzzle itself."""
        if self.symmetries is None:
            return None
        return draw_views(self.symmetries, self.num_rollouts, self.seed)


@dataclasses.dataclass(frozen=True)
class SolverOptions(RolloutOptions):
    """The settings of a `Solver`, in addition to those of the rollouts.

    Attributes:
      max_supervision_steps: budget of each rollout, which may exceed that of training; None takes
        the reasoner's number of supervision steps.
      stop: condition that ends a puzzle before its budget is spent. "verified": one of its
        rollouts has an answer that obeys the rules. "first_halting": one has a positive halting
        logit. "halting": every rollout has ended with a positive halting logit. "budget": none.
        None means "verified" if there is a verifier, else "halting".
      choose: rule that chooses among the answers of the rollouts if none or several are verified.
        "halting": the one with the highest halting logit. "majority": the most frequent one; ties
        go to the highest halting logit. "residual": the one whose logits moved least in the last
        three steps (EqR).

    Raises:
      ValueError: if a setting is unknown or out of range.
    """

    max_supervision_steps: int | None = None
    stop: str | None = None
    choose: str = "halting"

    def __post_init__(self):
        super().__post_init__()
        if self.stop is not None:
            check_name("stop", self.stop, STOPS)
        check_name("choose", self.choose, CHOICES)
        if self.max_supervision_steps is not None:
            _check_positive("max_supervision_steps", self.max_supervision_steps)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}; expected 1 or more")


class Solver:
    """Solves puzzles of one size; keeps its compiled programs."""

    def __init__(
        self,
        reasoner: Reasoner,
        params: ModelParams,
        verify: Verify | None = None,
        options: SolverOptions | None = None,
    ):
        """Prepares a solver; nothing is compiled before the first puzzle.

        Args:
          reasoner: the model with its depth and mesh.
          params: parameters of the model, on the mesh.
          verify: function that checks answers by the rules of their puzzles; None without rules.
          options: settings of the solver; by default `SolverOptions()`.

        Raises:
          ValueError: if the options ask for "verified" although there is no verifier.
        """
        options = options or SolverOptions()
        self._stop = options.stop or ("verified" if verify else "halting")
        if self._stop == "verified" and verify is None:
            raise ValueError("stop='verified' needs a verifier, but these puzzles have none")
        self._reasoner = reasoner.with_supervision_steps(1)
        self._params, self._verify, self._options = params, verify, options
        self._max_steps = options.max_supervision_steps or reasoner.supervision_steps
        self._noise = options.noise_for_rollouts()

    def __call__(
        self, questions: np.ndarray, puzzle_identifiers: np.ndarray | None = None
    ) -> list[Solution]:
        """Solves puzzles and returns their solutions in the order of the questions.

        Args:
          questions: tokens, int `[num, num_cells]`.
          puzzle_identifiers: rows of the puzzle embedding, `[num]`; zeros by default.
        """
        found = dict(self.each(questions, puzzle_identifiers))
        return [found[index] for index in range(len(found))]

    def each(
        self, questions: np.ndarray, puzzle_identifiers: np.ndarray | None = None
    ) -> Iterator[tuple[int, Solution]]:
        """Yields the index and the solution of each puzzle as soon as it is done.

        Args:
          questions: as for a call.
          puzzle_identifiers: as for a call.
        """
        if puzzle_identifiers is None:
            puzzle_identifiers = np.zeros(len(questions), np.int32)
        batch = _Batch(np.asarray(questions), puzzle_identifiers, self._options)
        mesh = self._reasoner.mesh
        states = self._over_batch(self._reasoner.empty_states(0))
        while batch.num_left:
            kept = batch.refill(self._options.batch_size, mesh.size)
            if kept is not None:
                states = self._over_batch(_rows_of(states, kept))
            rollouts = place(batch.rollouts(), over_batch(mesh))
            states, found = self._reasoner.run(self._params, states, rollouts, self._noise)
            done = self._note(batch, jax.tree.map(lambda x: x[0], jax.device_get(found)))
            yield from batch.close(done, self._options.choose)

    def _over_batch(self, states: States) -> States:
        return jax.device_put(states, over_batch(self._reasoner.mesh))

    def _note(self, batch: "_Batch", found: Prediction) -> np.ndarray:
        """Records the predictions of a step; returns the mask of the groups that are done now."""
        batch.note(found)
        ends = self._reasoner.halting_rule.is_confident(batch.halt_logits)
        if self._stop == "verified":
            batch.verify(self._verify, batch.indices >= 0)
            ends = batch.is_right
        if self._stop == "budget":
            ends = np.zeros_like(ends)
        batch.ended |= ends | (batch.steps >= self._max_steps)[:, None]
        one_is_enough = self._stop in ("verified", "first_halting")
        done = batch.ended.any(1) if one_is_enough else batch.ended.all(1)
        done &= batch.indices >= 0
        if self._verify is not None and self._stop != "verified":
            batch.verify(self._verify, done)
        return done


class _Batch:
    """The waiting puzzles and those in the batch, on the host.

    Arrays have shape `[groups]` or `[groups, rollouts]`; a group without a puzzle has index -1.
    """

    def __init__(
        self, questions: np.ndarray, puzzle_identifiers: np.ndarray, options: RolloutOptions
    ):
        num_cells, num_rollouts = questions.shape[1], options.num_rollouts
        self._views = options.views()
        self._questions, self._identifiers = questions.astype(np.int32), puzzle_identifiers
        self._places = Places(len(questions))
        self.steps = np.zeros(0, np.int32)
        self.ended = np.zeros((0, num_rollouts), bool)
        self.is_right = np.zeros((0, num_rollouts), bool)
        self.halt_logits = np.zeros((0, num_rollouts), np.float32)
        self.answers = np.zeros((0, num_rollouts, num_cells), np.uint8)
        self.residuals = np.zeros((0, num_rollouts, WINDOW), np.float32)

    @property
    def indices(self) -> np.ndarray:
        """The index of the puzzle of each group, -1 for an idle one, int `[groups]`."""
        return self._places.indices

    @property
    def num_left(self) -> int:
        """The number of puzzles that are waiting or in the batch."""
        return self._places.num_left

    def refill(self, most: int, num_devices: int) -> np.ndarray | None:
        """Resizes the batch and fills its idle groups with waiting puzzles.

        Args:
          most: largest number of groups.
          num_devices: divisor of the number of groups.

        Returns:
          For each row of the batch, the row it was before (any row, if its puzzle is new); None if
          no row has moved.
        """
        kept = None
        earlier, begun = self._places.refill(most, num_devices)
        if len(earlier) != len(self.steps):
            for name in ("steps", "ended", "is_right", "halt_logits", "answers", "residuals"):
                setattr(self, name, take(getattr(self, name), earlier))
            kept = earlier[:, None] * self.ended.shape[1] + np.arange(self.ended.shape[1])
            kept = np.maximum(kept, 0).reshape(-1)
        self.steps[begun] = 0
        self.ended[begun] = self.is_right[begun] = False
        self.residuals[begun] = np.inf
        return kept

    def rollouts(self) -> Rollouts:
        """Returns the rollouts of the batch."""
        indices = np.maximum(self.indices, 0)
        identifiers = self._identifiers[indices]
        plain = Rollouts(
            self._questions[indices], identifiers, indices, np.zeros_like(indices), self.steps
        )
        rollouts = plain.repeated(self.ended.shape[1])
        return rollouts._replace(inputs=asked(self._views, rollouts.inputs, self.ended.shape))

    def note(self, found: Prediction) -> None:
        """Stores the predictions of a step; a rollout that has ended keeps its last one."""
        shape = self.ended.shape
        self.steps += 1
        continues = ~self.ended
        answers = found.answers.reshape(*shape, -1)
        answers = answers if self._views is None else self._views.undo(answers)
        self.answers[continues] = answers[continues]
        self.halt_logits[continues] = found.halt_logits.reshape(shape)[continues]
        latest = [self.residuals[..., 1:], found.residuals.reshape(*shape, 1)]
        self.residuals[continues] = np.concatenate(latest, axis=-1)[continues]

    def verify(self, verify: Verify, groups: np.ndarray) -> None:
        """Verifies the answers of some groups, given as bool `[groups]`."""
        if not groups.any():
            return
        answers = self.answers[groups]
        questions = self._questions[self.indices[groups]]
        questions = np.repeat(questions, answers.shape[1], axis=0)
        right = verify(questions, answers.reshape(questions.shape))
        self.is_right[groups] = right.reshape(answers.shape[:2])

    def close(self, groups: np.ndarray, choose: str) -> Iterator[tuple[int, Solution]]:
        """Yields the solutions of groups that are done, given as bool `[groups]`; they are idle."""
        for group in np.flatnonzero(groups):
            answers, logits = self.answers[group], self.halt_logits[group]
            motion = mean_residual(self.residuals[group])
            best = chosen_rollout(answers, logits, self.is_right[group], motion, choose)
            yield (
                int(self.indices[group]),
                Solution(
                    answers[best].copy(),
                    bool(self.is_right[group, best]),
                    int(self.steps[group]),
                    float(1 / (1 + np.exp(-logits[best]))),
                ),
            )
        self.indices[groups] = -1


def asked(views: Views | None, inputs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the questions of rollouts, each as the copy that its rollout works on.

    Args:
      views: the copies; None for the questions themselves.
      inputs: tokens, `[puzzles * rollouts, num_cells]`.
      shape: numbers of puzzles and of rollouts.
    """
    if views is None:
        return inputs
    return views.of(inputs.reshape(*shape, -1)).reshape(inputs.shape)


def mean_residual(residuals: np.ndarray) -> np.ndarray:
    """Averages residuals over the last axis, the steps, without those of first steps.

    Args:
      residuals: `[..., steps]`; infinite for the first step of a rollout.

    Returns:
      `[...]`; infinite if there was only a first step.
    """
    moved = np.isfinite(residuals)
    count = moved.sum(-1)
    total = np.where(moved, residuals, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


def chosen_rollout(
    answers: np.ndarray,
    halt_logits: np.ndarray,
    right: np.ndarray,
    residuals: np.ndarray,
    choose: str,
) -> int:
    """Returns the index of the rollout whose answer is given for a puzzle.

    Args:
      answers: `[rollouts, num_cells]`.
      halt_logits: `[rollouts]`.
      right: whether each answer is verified, bool `[rollouts]`; verified answers come first.
      residuals: mean residual of each rollout, `[rollouts]`.
      choose: see `SolverOptions`.
    """
    preferred = np.zeros(len(answers))
    if choose == "majority":
        _, group, sizes = np.unique(answers, axis=0, return_inverse=True, return_counts=True)
        preferred = sizes[group.reshape(-1)]
    if choose == "residual":
        preferred = -residuals
    return int(np.lexsort((halt_logits, preferred, right))[-1])


def _rows_of(states: States, rows: np.ndarray) -> States:
    if not len(states[0]):
        return jax.tree.map(lambda x: jnp.zeros((len(rows), *x.shape[1:]), x.dtype), states)
    return jax.tree.map(lambda x: x[rows], states)
