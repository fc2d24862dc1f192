"""Verified search: solves puzzles by candidate elimination, guesses and backtracking.

Every answer is checked by the rules of its puzzle before it is returned, so a puzzle is either
solved with proof or left unsolved. Cost is counted in passes: one pass runs all loops of the
network once for one chain. Puzzles that are done leave the batch and waiting ones take their place.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax.evaluation.places import Places, take
from cgar_jax.evaluation.search_trajectory import Recorder, SearchTrajectory
from cgar_jax.mesh import over_batch, place
from cgar_jax.models import ModelParams
from cgar_jax.recursion import CandidateReasoner, Chains
from cgar_jax.recursion.candidate_reasoner import PassResult
from cgar_jax.recursion.elimination import candidates_of
from cgar_jax.recursion.rows import where_rows

Verify = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(questions, answers) -> bool [num]`: whether each answer obeys the rules of its puzzle."""


class Proof(NamedTuple):
    """What a search found for one puzzle.

    Attributes:
      answer: tokens that obey the rules, uint8 `[cells]`; None if the budget was spent.
      passes: number of passes of all chains of the puzzle.
      dead_ends: number of contradictions that its chains met.
    """

    answer: np.ndarray | None
    passes: int
    dead_ends: int

    @property
    def verified(self) -> bool:
        """Whether the puzzle is solved."""
        return self.answer is not None


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """The budget and the batches of a search.

    Attributes:
      budget: largest number of passes per puzzle.
      seconds: largest number of seconds for all puzzles; infinity for no limit.
      num_chains: number of chains per puzzle that run side by side.
      batch_size: number of chains in a batch.
      seed: random seed of the guesses.

    Raises:
      ValueError: if a setting is out of range.
    """

    budget: int = 1_000
    seconds: float = float("inf")
    num_chains: int = 1
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self):
        for name in ("budget", "num_chains", "batch_size"):
            check_integer("SearchOptions", name, getattr(self, name), "[1, inf)")
        check_integer("SearchOptions", "seed", self.seed, "[0, 4294967295]")
        if self.seconds != float("inf"):
            check_number("SearchOptions", "seconds", self.seconds, "(0, inf)")


class Search:
    """Searches for the solutions of puzzles of one size; keeps its compiled programs."""

    def __init__(
        self,
        reasoner: CandidateReasoner,
        params: ModelParams,
        verify: Verify,
        options: SearchOptions | None = None,
    ):
        """Prepares a search; nothing is compiled before the first puzzle.

        Args:
          reasoner: the model with its loops, rule and mesh.
          params: parameters of the model, on the mesh.
          verify: function that checks answers by the rules of their puzzles.
          options: budget and batches; by default `SearchOptions()`.
        """
        self._reasoner, self._params, self._verify = reasoner, params, verify
        self._options = options or SearchOptions()

    def __call__(self, questions: np.ndarray) -> list[Proof]:
        """Searches and returns the proofs in the order of the questions.

        Args:
          questions: tokens, int `[num, cells]`.
        """
        found = dict(self.each(questions))
        return [found[index] for index in range(len(found))]

    def each(self, questions: np.ndarray) -> Iterator[tuple[int, Proof]]:
        """Yields the index and the proof of each puzzle as soon as its search ends.

        Args:
          questions: tokens, int `[num, cells]`.
        """
        options = self._options
        end = time.monotonic() + options.seconds
        batch = _Batch(np.asarray(questions, np.int32), options.num_chains)
        for chains, found in self._passes(batch):
            batch.note(found, chains, self._verify)
            yield from batch.close(options.budget, time.monotonic() > end)

    def trajectory(self, question: np.ndarray) -> SearchTrajectory:
        """Searches with one chain and records what each pass does.

        Args:
          question: tokens, int `[cells]`.
        """
        options = self._options
        end = time.monotonic() + options.seconds
        batch = _Batch(np.asarray(question, np.int32)[None], 1)
        model = self._reasoner.model

        def candidates(tokens):
            return np.asarray(candidates_of(tokens, model.vocab_size, model.num_symbols))

        recorder, answer = Recorder(candidates(question)), None
        for chains, found in self._passes(batch):
            recorder.note(chains, found)
            batch.note(found, chains, self._verify)
            for _, proof in batch.close(options.budget, time.monotonic() > end):
                answer = proof.answer
        solution = None if answer is None else candidates(answer)
        return recorder.trajectory(question, answer, solution)

    def _passes(self, batch: "_Batch") -> Iterator[tuple[Chains, PassResult]]:
        """Yields the chains and the result of each pass, until the batch has no puzzle left."""
        options, mesh = self._options, self._reasoner.mesh
        chains = None
        while batch.num_left:
            kept = batch.refill(options.batch_size // batch.num_chains or 1, mesh.size)
            inputs, seeds, fresh = batch.rows(options.seed)
            if chains is None:
                kept = np.zeros(len(fresh), np.int32)
                chains = self._reasoner.begin(inputs, seeds)
            rows = place((inputs, seeds, fresh, kept), over_batch(mesh))
            chains, found = _step(self._reasoner, self._params, chains, rows)
            yield chains, found


@functools.partial(jax.jit, static_argnames="reasoner")
def _step(
    reasoner: CandidateReasoner, params: ModelParams, chains: Chains, rows: tuple
) -> tuple[Chains, PassResult]:
    """Moves rows of a batch, begins fresh puzzles, and runs one pass of each chain."""
    inputs, seeds, fresh, kept = rows

    chains = jax.tree.map(lambda leaf: leaf[kept], chains)
    begun = reasoner.begin(inputs, seeds)
    chains = jax.tree.map(functools.partial(where_rows, fresh), begun, chains)
    return reasoner.search(params, chains)


class _Batch:
    """The waiting puzzles and those in the batch, on the host; index -1 marks an idle place."""

    def __init__(self, questions: np.ndarray, num_chains: int):
        self._questions, self.num_chains = questions, num_chains
        self._places = Places(len(questions))
        self._passes = np.zeros(0, np.int64)
        self._fresh = np.zeros(0, bool)
        self._dead_ends = np.zeros(0, np.int64)
        self._answers: dict[int, np.ndarray] = {}

    @property
    def num_left(self) -> int:
        """The number of puzzles that are waiting or in the batch."""
        return self._places.num_left

    def refill(self, most: int, num_devices: int) -> np.ndarray:
        """Resizes the batch and fills idle places; returns the earlier row of each row."""
        earlier, begun = self._places.refill(most, num_devices)
        self._passes = take(self._passes, earlier)
        self._passes[begun] = 0
        self._fresh = np.isin(np.arange(len(earlier)), begun)
        rows = np.maximum(earlier, 0)[:, None] * self.num_chains + np.arange(self.num_chains)
        return rows.reshape(-1).astype(np.int32)

    def rows(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the tokens and the seed of each chain, and whether it begins now."""
        indices = np.maximum(self._places.indices, 0)
        # The other puzzles of a call do not change the guesses in a puzzle.
        seeds = np.uint32(seed) * np.uint32(2_654_435_761) + np.arange(
            self.num_chains, dtype=np.uint32
        )
        inputs = np.repeat(self._questions[indices], self.num_chains, axis=0)
        return inputs, np.tile(seeds, len(indices)), np.repeat(self._fresh, self.num_chains)

    def note(self, found: PassResult, chains: Chains, verify: Verify) -> None:
        """Stores the answers of a pass that the rules confirm."""
        shape = len(self._places.indices), self.num_chains
        solved, answers, dead_ends = jax.device_get((found.solved, found.answers, chains.dead_ends))
        self._passes += self.num_chains
        self._dead_ends = dead_ends.reshape(shape).sum(1)
        solved = solved.reshape(shape) & (self._places.indices >= 0)[:, None]
        places, columns = np.nonzero(solved)
        if not len(places):
            return
        answers = answers.reshape(*shape, -1)[places, columns]
        right = verify(self._questions[self._places.indices[places]], answers)
        for position, answer in zip(places[right], answers[right], strict=True):
            self._answers.setdefault(int(position), answer.astype(np.uint8))

    def close(self, budget: int, out_of_time: bool) -> Iterator[tuple[int, Proof]]:
        """Yields the puzzles whose search has ended, whose places are idle afterwards."""
        spent = self._passes + self.num_chains > budget
        for position in np.flatnonzero(self._places.indices >= 0):
            answer = self._answers.pop(int(position), None)
            if answer is None and not (spent[position] or out_of_time):
                continue
            proof = Proof(answer, int(self._passes[position]), int(self._dead_ends[position]))
            yield int(self._places.indices[position]), proof
            self._places.indices[position] = -1
