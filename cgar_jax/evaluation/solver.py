"""Solving many puzzles with a trained model: each for as long as it needs.

A batch is made of *groups*, one for each puzzle at work: its rollouts. A puzzle that is done leaves
the batch and the next one takes its place; at the end, when none is waiting, the batch shrinks. A
large file therefore pays for its easy puzzles by what they need, not by its hardest.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cgar_jax._core.registry import check_name
from cgar_jax.curricula import Depth
from cgar_jax.mesh import over_batch, place
from cgar_jax.recursion.thinking import (
    Attempt,
    Rows,
    States,
    attempt,
    compiled,
    empty_states,
    rows_of,
)
from cgar_jax.training.state import Weights

STOPS = ("verified", "halting", "budget")
CHOICES = ("halting", "majority")
_SHRINK = 4  # the next smaller batch has so many times fewer groups

Verify = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Solution(NamedTuple):
    """What came of a puzzle."""

    answer: np.ndarray  # [num_cells] uint8, the chosen one
    verified: bool  # false without a verifier
    supervision_steps: int  # taken by each of its rollouts
    halting_probability: float  # of the chosen answer


class Solver:
    """Solves puzzles of one size; keeps its compiled programs."""

    def __init__(
        self,
        model: Any,
        depth: Depth,
        weights: Weights,
        mesh: Mesh,
        verify: Verify | None = None,
        *,
        max_supervision_steps: int = 16,
        num_rollouts: int = 1,
        noise: float = 0.3,
        stop: str | None = None,
        choose: str = "halting",
        batch_size: int = 64,
        seed: int = 0,
    ):
        """Prepares; nothing is compiled before the first puzzle.

        Args:
          model: a flax module of `cgar_jax.models`.
          depth: of each deep recursion.
          weights: of the model, on the mesh.
          mesh: of the devices.
          verify: `(questions, answers) -> bool [num]`, whether an answer obeys all rules of its
            puzzle; None where nothing can tell.
          max_supervision_steps: budget of each rollout; may be more than in training.
          num_rollouts: K, for each puzzle; the first is without noise.
          noise: standard deviation of what is added to the latent in the others.
          stop: when a puzzle is done before its budget is spent: "verified", as soon as one of its
            rollouts has an answer that passes; "halting", when the halting logit of each rollout
            has been positive once, which is where that rollout ends; "budget", never. By default
            "verified" if there is a verifier, else "halting".
          choose: of the answers of the rollouts, if none or several are verified: "halting", that
            of the highest halting logit; "majority", the most frequent, of equally frequent ones
            that of the highest halting logit.
          batch_size: puzzles at work at once, each with all its rollouts.
          seed: of the noise.

        Raises:
          ValueError: a setting is out of range, or "verified" is asked for without a verifier.
        """
        stop = stop or ("verified" if verify else "halting")
        check_name("stop", stop, STOPS)
        check_name("choose", choose, CHOICES)
        if stop == "verified" and verify is None:
            raise ValueError("stop='verified', but nothing can verify answers of this kind")
        for name, value in (
            ("max_supervision_steps", max_supervision_steps),
            ("num_rollouts", num_rollouts),
            ("batch_size", batch_size),
        ):
            if value < 1:
                raise ValueError(f"{name} is {value}, but it must be 1 or more")
        if noise < 0:
            raise ValueError(f"noise is {noise}, but it must be 0 or more")
        self._model, self._weights, self._mesh = model, weights, mesh
        self._verify, self._stop, self._choose = verify, stop, choose
        self._max_steps, self._num_rollouts = max_supervision_steps, num_rollouts
        self._noise = (noise, jax.random.key(seed)) if num_rollouts > 1 else ()
        self._batch_size = batch_size
        self._think = compiled(model, depth, 1, attempt, mesh)

    def __call__(
        self, questions: np.ndarray, puzzle_identifiers: np.ndarray | None = None
    ) -> list[Solution]:
        """Solves puzzles; the solutions are in the order of the questions.

        Args:
          questions: tokens `[num, num_cells]`.
          puzzle_identifiers: `[num]`, where puzzles have embeddings; by default zeros.
        """
        found = dict(self.each(questions, puzzle_identifiers))
        return [found[number] for number in range(len(found))]

    def each(
        self, questions: np.ndarray, puzzle_identifiers: np.ndarray | None = None
    ) -> Iterator[tuple[int, Solution]]:
        """Yields the number of each puzzle, from 0, and its solution, as soon as it is done.

        Args:
          questions: as for a call.
          puzzle_identifiers: as for a call.
        """
        if puzzle_identifiers is None:
            puzzle_identifiers = np.zeros(len(questions), np.int32)
        batch = _Batch(np.asarray(questions), puzzle_identifiers, self._num_rollouts)
        states = self._over_batch(empty_states(self._model, 0))
        while batch.num_left:
            kept = batch.refill(self._size_for(batch.num_left))
            if kept is not None:
                states = self._over_batch(_rows_of(states, kept))
            rows = place(batch.rows(), over_batch(self._mesh))
            states, found = self._think(self._weights, states, rows, *self._noise)
            done = self._note(batch, jax.tree.map(lambda x: x[0], jax.device_get(found)))
            yield from batch.close(done, self._choose)

    def _size_for(self, num_left: int) -> int:
        """How many groups the smallest batch has that holds all the puzzles that are left."""
        size = min(self._batch_size, num_left)
        while num_left <= size // _SHRINK:
            size //= _SHRINK
        return -(-size // self._mesh.size) * self._mesh.size

    def _over_batch(self, states: States) -> States:
        return jax.device_put(states, over_batch(self._mesh))

    def _note(self, batch: "_Batch", found: Attempt) -> np.ndarray:
        """Notes what a step has found; returns which groups are done now."""
        batch.note(found)
        ends = batch.halt_logits > 0
        if self._stop == "verified":
            batch.verify(self._verify, batch.numbers >= 0)
            ends = batch.is_right
        if self._stop == "budget":
            ends = np.zeros_like(ends)
        batch.ended |= ends | (batch.steps >= self._max_steps)[:, None]
        done = batch.ended.any(1) if self._stop == "verified" else batch.ended.all(1)
        done &= batch.numbers >= 0
        if self._verify is not None and self._stop != "verified":
            batch.verify(self._verify, done)
        return done


class _Batch:
    """The puzzles that wait and those at work, on the host.

    Arrays `[groups]` and `[groups, rollouts]`; a group without a puzzle has number -1.
    """

    def __init__(self, questions: np.ndarray, puzzle_identifiers: np.ndarray, num_rollouts: int):
        num_cells = questions.shape[1]
        self._questions, self._identifiers = questions.astype(np.int32), puzzle_identifiers
        self._next = 0
        self.numbers = np.zeros(0, np.int32)
        self.steps = np.zeros(0, np.int32)
        self.ended = np.zeros((0, num_rollouts), bool)
        self.is_right = np.zeros((0, num_rollouts), bool)
        self.halt_logits = np.zeros((0, num_rollouts), np.float32)
        self.answers = np.zeros((0, num_rollouts, num_cells), np.uint8)

    @property
    def num_left(self) -> int:
        """Puzzles at work or waiting."""
        return int((self.numbers >= 0).sum()) + len(self._questions) - self._next

    def refill(self, size: int) -> np.ndarray | None:
        """Makes it a batch of `size` groups, and gives the idle ones the puzzles that wait.

        Returns:
          For each row of the batch, the row it was before (any, if it begins anew); None if the
          rows have not moved.
        """
        kept = None
        if size != len(self.numbers):
            groups = np.flatnonzero(self.numbers >= 0)
            groups = np.pad(groups, (0, size - len(groups)), constant_values=-1)
            for name in ("numbers", "steps", "ended", "is_right", "halt_logits", "answers"):
                setattr(self, name, _take(getattr(self, name), groups))
            self.numbers[groups < 0] = -1
            kept = groups[:, None] * self.ended.shape[1] + np.arange(self.ended.shape[1])
            kept = np.maximum(kept, 0).reshape(-1)
        idle = np.flatnonzero(self.numbers < 0)[: len(self._questions) - self._next]
        self.numbers[idle] = self._next + np.arange(len(idle))
        self._next += len(idle)
        self.steps[idle] = 0
        self.ended[idle] = self.is_right[idle] = False
        return kept

    def rows(self) -> Rows:
        """What the device needs to know."""
        numbers = np.maximum(self.numbers, 0)
        return rows_of(
            self._questions[numbers],
            self._identifiers[numbers],
            numbers,
            self.steps,
            self.ended.shape[1],
        )

    def note(self, found: Attempt) -> None:
        """Takes the attempts of a step; a rollout that has ended keeps its last one."""
        shape = self.ended.shape
        self.steps += 1
        goes_on = ~self.ended
        self.answers[goes_on] = found.answers.reshape(*shape, -1)[goes_on]
        self.halt_logits[goes_on] = found.halt_logits.reshape(shape)[goes_on]

    def verify(self, verify: Verify, groups: np.ndarray) -> None:
        """Finds out which answers of some groups are right."""
        if not groups.any():
            return
        answers = self.answers[groups]
        questions = self._questions[self.numbers[groups]]
        questions = np.repeat(questions, answers.shape[1], axis=0)
        right = verify(questions, answers.reshape(questions.shape))
        self.is_right[groups] = right.reshape(answers.shape[:2])

    def close(self, groups: np.ndarray, choose: str) -> Iterator[tuple[int, Solution]]:
        """Chooses the solutions of groups that are done, which then are idle."""
        for group in np.flatnonzero(groups):
            answers, logits = self.answers[group], self.halt_logits[group]
            best = chosen(answers, logits, self.is_right[group], choose)
            yield (
                int(self.numbers[group]),
                Solution(
                    answers[best].copy(),
                    bool(self.is_right[group, best]),
                    int(self.steps[group]),
                    float(1 / (1 + np.exp(-logits[best]))),
                ),
            )
        self.numbers[groups] = -1


def chosen(answers: np.ndarray, halt_logits: np.ndarray, right: np.ndarray, choose: str) -> int:
    """Returns which of the rollouts of a puzzle has the answer to give.

    Args:
      answers: `[rollouts, num_cells]`.
      halt_logits: `[rollouts]`.
      right: bool `[rollouts]`, which are verified; these come first.
      choose: see `Solver`.
    """
    counts = np.zeros(len(answers), np.int64)
    if choose == "majority":
        _, group, sizes = np.unique(answers, axis=0, return_inverse=True, return_counts=True)
        counts = sizes[group.reshape(-1)]
    return int(np.lexsort((halt_logits, counts, right))[-1])


def _take(column: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rows of a column; new ones are zero."""
    taken = np.zeros((len(groups), *column.shape[1:]), column.dtype)
    taken[groups >= 0] = column[groups[groups >= 0]]
    return taken


def _rows_of(states: States, rows: np.ndarray) -> States:
    if not len(states[0]):
        return jax.tree.map(lambda x: jnp.zeros((len(rows), *x.shape[1:]), x.dtype), states)
    return jax.tree.map(lambda x: x[rows], states)
