"""Voting among the answers to many variants of one question.

Each answer is mapped back from its variant to the original puzzle. Answers are ranked by the number
of votes; ties go to the answer with the higher mean halting probability.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from cgar_jax.data import schema
from cgar_jax.data.families.arc import Variants, decode
from cgar_jax.data.families.arc.augmentation import render
from cgar_jax.evaluation.accuracy import StepPredictions
from cgar_jax.progress import Ticker

PASS_AT = (1, 2, 5, 10, 100, 1000)
_ASKED_AT_ONCE = 4096


class Candidate(NamedTuple):
    """An answer to a question.

    Attributes:
      grid: colors, uint8 `[height, width]`.
      count: number of votes.
      probability: mean halting probability of the votes.
    """

    grid: np.ndarray
    count: int
    probability: float


class Tally:
    """The votes on one question: each answer with the halting probabilities of its votes."""

    def __init__(self):
        """Makes a tally without votes."""
        self._probabilities = collections.defaultdict(list)

    def add(self, grid: np.ndarray, probability: float) -> None:
        """Adds a vote for `grid`, colors `[height, width]`; a grid without cells is not counted."""
        if grid.size:
            self._probabilities[grid.shape, grid.tobytes()].append(probability)

    def rank(self) -> list[Candidate]:
        """Returns the answers ranked by count, then by mean probability.

        Remaining ties are broken by the size of the grid and then by its colors from the upper
        left, so the ranking does not depend on the order of the votes.
        """
        found = [
            # Sorted, because a floating-point sum depends on the order of its terms.
            (shape, cells, len(given), float(np.mean(np.sort(given))))
            for (shape, cells), given in self._probabilities.items()
        ]
        found.sort(key=lambda one: (-one[2], -one[3], np.prod(one[0]), one[0], one[1]))
        return [
            Candidate(np.frombuffer(cells, np.uint8).reshape(shape), count, probability)
            for shape, cells, count, probability in found
        ]


def vote(
    predict: Callable[[dict[str, np.ndarray]], Iterator[StepPredictions]],
    variants: Variants,
    examples: Mapping[str, np.ndarray],
    num_variants: int = 0,
) -> list[list[Candidate]]:
    """Asks each question in its variants and ranks the answers.

    Args:
      predict: a function from examples to predictions in their order, such as
        `Evaluator.predict` with its parameters bound.
      variants: the variants of the puzzles.
      examples: the original questions, see `Dataset`.
      num_variants: maximum number of variants per question, including the original; 0 means all.

    Returns:
      For each question its candidates, best first.
    """
    tallies = [Tally() for _ in examples["puzzle_identifiers"]]
    asked = [
        (question, identifier)
        for question, first in enumerate(examples["puzzle_identifiers"])
        for identifier in variants.of(first)[: num_variants or None]
    ]
    console, ticker = Console(stderr=True, highlight=False), Ticker()
    for first in range(0, len(asked), _ASKED_AT_ONCE):
        if ticker.due():
            console.print(f"answering variants of the test puzzles: {first:,} of {len(asked):,}")
        questions, identifiers = np.array(asked[first : first + _ASKED_AT_ONCE]).T
        given = 0
        for part in predict(_variants_of(variants, examples, questions, identifiers)):
            for tokens, probability in zip(part.answers, part.halting_probabilities, strict=True):
                grid = variants.undo(identifiers[given], decode(tokens))
                tallies[questions[given]].add(grid, probability)
                given += 1
    return [tally.rank() for tally in tallies]


def pass_at(
    rankings: Sequence[Sequence[Candidate]],
    solutions: Sequence[np.ndarray],
    puzzles: Sequence[str],
    numbers: Sequence[int] = PASS_AT,
) -> dict[str, float]:
    """Computes the share of puzzles solved by the first k candidates, for each k of `numbers`.

    A puzzle with several questions counts by the share of its questions that are answered, as in
    the ARC Prize competition (which allows k = 2 answers).

    Args:
      rankings: ranked candidates of each question.
      solutions: right answer of each question, colors `[height, width]`.
      puzzles: name of the puzzle of each question.
      numbers: values of k.

    Returns:
      Shares by `str(k)`.
    """
    # The rank of the right answer; infinite if it was never given.
    places = [
        next((k for k, candidate in enumerate(ranking, 1) if _equal(candidate, right)), np.inf)
        for ranking, right in zip(rankings, solutions, strict=True)
    ]

    def share(number):
        solved = collections.defaultdict(list)
        for puzzle, place in zip(puzzles, places, strict=True):
            solved[puzzle].append(place <= number)
        return float(np.mean([np.mean(each) for each in solved.values()]))

    return {str(number): share(number) for number in numbers}


def submission(
    rankings: Sequence[Sequence[Candidate]], puzzles: Sequence[str]
) -> dict[str, list[dict[str, list[list[int]]]]]:
    """Returns the two best answers to each question in the layout of the competition's files.

    A single answer is given twice; without any answer, the submission has one black cell.

    Args:
      rankings: ranked candidates of each question.
      puzzles: name of the puzzle of each question.
    """
    attempts = collections.defaultdict(list)
    for ranking, puzzle in zip(rankings, puzzles, strict=True):
        grids = [candidate.grid.tolist() for candidate in ranking[:2]] or [[[0]]]
        attempts[puzzle].append({"attempt_1": grids[0], "attempt_2": grids[-1]})
    return dict(attempts)


def score(
    predict: Callable[[dict[str, np.ndarray]], Iterator[StepPredictions]],
    variants: Variants,
    examples: Mapping[str, np.ndarray],
    num_variants: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Votes on every question and scores the result; the arguments are those of `vote`.

    Returns:
      `(scores, submission)`: scores has `pass_at` (see the function of that name), `num_puzzles`
      and `num_votes`.
    """
    rankings = vote(predict, variants, examples, num_variants)
    puzzles = [variants.names[variants.puzzle_of(i)] for i in examples["puzzle_identifiers"]]
    scores = {
        "pass_at": pass_at(rankings, list(map(decode, examples["labels"])), puzzles),
        "num_puzzles": len(set(puzzles)),
        "num_votes": sum(candidate.count for ranking in rankings for candidate in ranking),
    }
    return scores, submission(rankings, puzzles)


def _equal(candidate: Candidate, right: np.ndarray) -> bool:
    return np.array_equal(candidate.grid, right)


def _variants_of(
    variants: Variants, examples: Mapping[str, np.ndarray], questions, identifiers
) -> dict[str, np.ndarray]:
    missing = _ASKED_AT_ONCE - len(questions)
    rows, used = np.pad(questions, (0, missing)), np.pad(identifiers, (0, missing))
    inputs, labels = _render(
        *(
            examples[column.name][rows].astype(column.dtype)
            for column in (schema.INPUTS, schema.LABELS)
        ),
        variants.transforms[used],
        variants.colors[used],
    )
    columns = {schema.INPUTS: inputs, schema.LABELS: labels, schema.PUZZLE_IDENTIFIERS: used}
    return {
        column.name: np.asarray(values)[: len(questions)].astype(column.dtype)
        for column, values in columns.items()
    }


@jax.jit
def _render(inputs, labels, transforms, colors):
    corner = jnp.zeros(2)
    return jax.vmap(render, in_axes=(0, 0, 0, 0, None))(inputs, labels, transforms, colors, corner)
