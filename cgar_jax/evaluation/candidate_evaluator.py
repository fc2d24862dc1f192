"""Scores of a candidate model: what it deduces without a guess, and what it proves by search."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cgar_jax.data.schema import INPUTS, LABELS, pad_batch
from cgar_jax.evaluation.accuracy import difficulty_groups
from cgar_jax.evaluation.search import Proof, Search, SearchOptions
from cgar_jax.mesh import over_batch, place, replicated
from cgar_jax.metrics import wilson_interval
from cgar_jax.models import ModelParams, Singles
from cgar_jax.recursion import CandidateReasoner, Depth
from cgar_jax.recursion.elimination import has_conflict, symbols_of

Examples = Mapping[str, np.ndarray]
Accepts = Callable[[np.ndarray, np.ndarray], np.ndarray]

LOOPS_WITHOUT_SEARCH = 64


def control_of(reasoner: CandidateReasoner) -> tuple[CandidateReasoner, ModelParams]:
    """Returns the complete search with `Singles` in place of the network, and its parameters."""
    model = reasoner.model
    singles = Singles(model.vocab_size, model.sequence_length, model.num_symbols, model.relations)
    rule = dataclasses.replace(reasoner.rule, thresholds=(0.0,), singles=True)
    # One loop is enough: the rule applies singles after it until they find nothing more.
    control = dataclasses.replace(reasoner, model=singles, depth=Depth(0, 1), rule=rule)
    no_params = jax.device_put(ModelParams({}, np.zeros((1, 1))), replicated(reasoner.mesh))
    return control, no_params


class Deductions(NamedTuple):
    """What single passes of 64 loops found, without a guess; `[num]` each.

    Attributes:
      right: whether the most probable symbols are the labeled answer.
      loops: number of loops after which they were read.
      removed: share of the wrong candidates that were removed.
      unsound: whether a right candidate was removed.
    """

    right: np.ndarray
    loops: np.ndarray
    removed: np.ndarray
    unsound: np.ndarray


class CandidateEvaluator:
    """Scores sets of examples of any size; all full batches share one compiled program."""

    def __init__(self, reasoner: CandidateReasoner, options: SearchOptions, num_searched: int):
        """Prepares an evaluator; nothing is compiled before the first call.

        Args:
          reasoner: the model with its loops, search rule and mesh.
          options: budget and batches of the search.
          num_searched: number of puzzles to search for; 0 means all.
        """
        self._reasoner, self._options, self._num_searched = reasoner, options, num_searched
        without_search = reasoner.with_loops(LOOPS_WITHOUT_SEARCH)
        self._deduce = jax.jit(without_search.deduce, out_shardings=replicated(reasoner.mesh))

    def __call__(
        self,
        params: ModelParams,
        examples: Examples,
        accepts: Accepts | None = None,
        on_progress: Callable[[int], None] = lambda num_done: None,
    ) -> dict[str, Any]:
        """Scores examples without and with search.

        Args:
          params: parameters of the model.
          examples: labeled puzzles with `difficulty`.
          accepts: function that checks answers by the rules; None scores without search only.
          on_progress: called with the number of newly finished puzzles.

        Returns:
          The scores of `until_halted`, and those of the search: `verified_fraction`,
          `verified_fraction_interval`, `wrong_fraction`, `passes_median`, `passes_mean`,
          `searched_puzzles`, and `search_by_difficulty`. The scores of the control end in
          `_control`. Medians and means count a puzzle that is not solved with the passes spent on
          it.
        """
        scores = self.until_halted(params, examples)
        if accepts is None:
            return scores
        num = len(examples["inputs"])
        searched = np.sort(np.random.default_rng(0).permutation(num)[: self._num_searched or num])
        on_progress(num - len(searched))
        questions = np.asarray(examples["inputs"])[searched]
        proofs, of_control = self.prove(params, questions, accepts, on_progress)
        verified = np.array([proof.verified for proof in proofs])
        wrong = sum(
            not accepts(question[None], proof.answer[None])[0]
            for question, proof in zip(questions, proofs, strict=True)
            if proof.answer is not None
        )
        return scores | {
            "verified_fraction_interval": list(wilson_interval(int(verified.sum()), len(verified))),
            "wrong_fraction": wrong / len(verified),
            **search_scores(proofs, of_control),
            "searched_puzzles": len(verified),
            "search_by_difficulty": by_difficulty(
                proofs, of_control, examples["difficulty"][searched]
            ),
        }

    def until_halted(self, params: ModelParams, examples: Examples) -> dict[str, Any]:
        """Scores examples without search: one pass of at most 64 loops, without a guess.

        Args:
          params: parameters of the model.
          examples: labeled puzzles.

        Returns:
          `accuracy_without_search`, which is also `exact_accuracy`, with its interval; the share of
          wrong candidates that the pass removes, `removed_fraction`, and of puzzles in which it
          removes a right one, `unsound_fraction`; and `num_examples`.
        """
        found = self.deduce(params, examples)
        accuracy = float(found.right.mean())
        return {
            "exact_accuracy": accuracy,
            "exact_accuracy_interval": list(
                wilson_interval(int(found.right.sum()), len(found.right))
            ),
            "accuracy_without_search": accuracy,
            "removed_fraction": float(found.removed.mean()),
            "unsound_fraction": float(found.unsound.mean()),
            "num_examples": len(found.right),
        }

    def deduce(self, params: ModelParams, examples: Examples) -> Deductions:
        """Runs one pass of at most 64 loops on each example, without a guess.

        Args:
          params: parameters of the model.
          examples: labeled puzzles.
        """
        parts = []
        num_devices = self._reasoner.mesh.size
        size = -(-self._options.batch_size // num_devices) * num_devices
        model = self._reasoner.model
        for start in range(0, len(examples["inputs"]), size):
            part = {k: examples[k][start : start + size] for k in (INPUTS.name, LABELS.name)}
            num = len(part["inputs"])
            batch = pad_batch(part, (INPUTS, LABELS), size)
            inputs = place(batch["inputs"], over_batch(self._reasoner.mesh))
            found = jax.tree.map(lambda x: np.asarray(x)[:num], self._deduce(params, inputs))  # noqa: B023
            labels = batch["labels"][:num]
            symbols = symbols_of(labels, model.vocab_size, model.num_symbols)
            right = (found.answers == labels).all(1)
            unsound = np.asarray(has_conflict(found.candidates, symbols))
            parts.append(Deductions(right, found.loops, found.removed, unsound))
        return Deductions(*map(np.concatenate, zip(*parts, strict=True)))

    def prove(
        self,
        params: ModelParams,
        questions: np.ndarray,
        accepts: Accepts,
        on_progress: Callable[[int], None] = lambda num_done: None,
    ) -> tuple[list[Proof], list[Proof]]:
        """Searches for the solutions of some questions, with the model and with the control.

        Args:
          params: parameters of the model.
          questions: tokens, int `[num, cells]`.
          accepts: function that checks answers by the rules.
          on_progress: called with the number of newly finished puzzles.

        Returns:
          The proofs of the model and those of the control, in the order of the questions.
        """
        search = Search(self._reasoner, params, accepts, self._options)
        control = Search(*control_of(self._reasoner), accepts, self._options)
        ours: dict[int, Proof] = {}
        theirs: dict[int, Proof] = {}
        # Both advance together, so that the progress is that of both.
        both = zip(search.each(questions), control.each(questions), strict=True)
        for (index, proof), (other, of_control) in both:
            ours[index], theirs[other] = proof, of_control
            on_progress(1)
        return [ours[i] for i in range(len(ours))], [theirs[i] for i in range(len(theirs))]


def search_scores(proofs: Sequence[Proof], of_control: Sequence[Proof]) -> dict[str, float]:
    """Returns the share of proven puzzles, and median and mean of the passes.

    Args:
      proofs: proofs of the model.
      of_control: proofs of the control, whose scores end in `_control`.
    """
    scores = {}
    for suffix, found in (("", proofs), ("_control", of_control)):
        passes = [proof.passes for proof in found]
        scores |= {
            f"verified_fraction{suffix}": float(np.mean([proof.verified for proof in found])),
            f"passes_median{suffix}": float(np.median(passes)),
            f"passes_mean{suffix}": float(np.mean(passes)),
        }
    return scores


def by_difficulty(
    proofs: Sequence[Proof], of_control: Sequence[Proof], difficulty: np.ndarray
) -> list[dict[str, float]]:
    """Returns `search_scores` in groups of about equal size, from easy to hard.

    Args:
      proofs: proofs of the model.
      of_control: proofs of the control.
      difficulty: difficulties of the puzzles, `[num]`.

    Returns:
      For each group its `low` and `high` difficulty, `num_examples`, and its scores.
    """
    return [
        {
            "low": float(difficulty[group].min()),
            "high": float(difficulty[group].max()),
            "num_examples": int(group.sum()),
            **search_scores(
                *([each[index] for index in np.flatnonzero(group)] for each in (proofs, of_control))
            ),
        }
        for group in difficulty_groups(difficulty)
    ]
