"""Answers to a question that was asked in many variants, put to the vote.

Every variant's answer is mapped back to the puzzle itself. The answer given most often comes first,
of those given equally often the one that the model believed in most.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from cgar_jax.data.families.arc import Variants, decode
from cgar_jax.data.families.arc.augmentation import render
from cgar_jax.evaluation.evaluator import Predictions
from cgar_jax.progress import Ticker

PASS_AT = (1, 2, 5, 10, 100, 1000)
_ASKED_AT_ONCE = 4096


class Candidate(NamedTuple):
    """An answer that was given to a question."""

    grid: np.ndarray  # colours, uint8 [height, width]
    count: int  # how often it was given
    probability: float  # the mean of its halting probabilities


class Tally:
    """The votes on one question: answers, and what the model believed each time it gave them."""

    def __init__(self):
        """Begins without a vote."""
        self._probabilities = collections.defaultdict(list)

    def add(self, grid: np.ndarray, probability: float) -> None:
        """Counts an answer, colours `[height, width]`; one without a cell is no vote."""
        if grid.size:
            self._probabilities[grid.shape, grid.tobytes()].append(probability)

    def rank(self) -> list[Candidate]:
        """The answers in the order of votes: by count, then by mean probability.

        Where both are equal, smaller grids come first, and of equal shape those of lower colours,
        from the upper left: the order does not depend on that of the votes.
        """
        found = [
            # Sorted, because a sum of floats depends on its order.
            (shape, cells, len(given), float(np.mean(np.sort(given))))
            for (shape, cells), given in self._probabilities.items()
        ]
        found.sort(key=lambda one: (-one[2], -one[3], np.prod(one[0]), one[0], one[1]))
        return [
            Candidate(np.frombuffer(cells, np.uint8).reshape(shape), count, probability)
            for shape, cells, count, probability in found
        ]


def vote(
    predict: Callable[[dict[str, np.ndarray]], Iterator[Predictions]],
    variants: Variants,
    examples: Mapping[str, np.ndarray],
    num_variants: int = 0,
) -> list[list[Candidate]]:
    """Asks each question in its variants, and ranks the answers.

    Args:
      predict: from examples to predictions, in their order: `Evaluator.predict` of a model.
      variants: of the puzzles.
      examples: the questions as they are in the puzzles themselves, see `Dataset`.
      num_variants: how many variants of each to ask at most, the question itself among them; 0 is
        all.

    Returns:
      The candidates for each question, the best first.
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
            console.print(f"asking variants of the test puzzles: {first:,} of {len(asked):,}")
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
    """Returns the share of puzzles solved by the first k candidates, for each k of `numbers`.

    A puzzle with several questions counts by the share of them that are answered, as in the ARC
    Prize competition, which allows two answers.

    Args:
      rankings: candidates of each question.
      solutions: what is right, colours `[height, width]`, for each question.
      puzzles: the puzzle of each question.
      numbers: the k.
    """
    # The first place of the right answer, beyond all others where it was not given.
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

    Where there was only one, it is there twice; where there was none, a single black cell.
    """
    attempts = collections.defaultdict(list)
    for ranking, puzzle in zip(rankings, puzzles, strict=True):
        grids = [candidate.grid.tolist() for candidate in ranking[:2]] or [[[0]]]
        attempts[puzzle].append({"attempt_1": grids[0], "attempt_2": grids[-1]})
    return dict(attempts)


def score(
    predict: Callable[[dict[str, np.ndarray]], Iterator[Predictions]],
    variants: Variants,
    examples: Mapping[str, np.ndarray],
    num_variants: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Votes as `vote` does.

    Returns:
      Scores: `pass_at`, see there, `num_puzzles` and `num_votes`; and the `submission`.
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
        examples["inputs"][rows].astype(np.int32),
        examples["labels"][rows].astype(np.int32),
        variants.transforms[used],
        variants.colors[used],
    )
    columns = {"inputs": inputs, "labels": labels, "puzzle_identifiers": used.astype(np.int32)}
    return {name: np.asarray(column)[: len(questions)] for name, column in columns.items()}


@jax.jit
def _render(inputs, labels, transforms, colours):
    corner = jnp.zeros(2)
    return jax.vmap(render, in_axes=(0, 0, 0, 0, None))(inputs, labels, transforms, colours, corner)
