"""Scores of a candidate model: what it deduces without a guess, and what it proves by search."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import numpy as np

from cgar_jax.data.schema import INPUTS, LABELS, pad_batch
from cgar_jax.evaluation.accuracy import accuracy_by_difficulty
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
          `searched_puzzles`, `verified_by_difficulty`. Medians and means count a puzzle that is not
          solved with the passes spent on it.
        """
        scores = self.until_halted(params, examples)
        if accepts is None:
            return scores
        num = len(examples["inputs"])
        searched = np.sort(np.random.default_rng(0).permutation(num)[: self._num_searched or num])
        questions = np.asarray(examples["inputs"])[searched]
        on_progress(num - len(searched))
        search = Search(self._reasoner, params, accepts, self._options)
        control = Search(*control_of(self._reasoner), accepts, self._options)
        proofs: dict[int, Proof] = {}
        of_control: dict[int, Proof] = {}
        wrong = 0
        for (index, proof), (other, proof_of_control) in zip(
            search.each(questions), control.each(questions), strict=True
        ):
            proofs[index], of_control[other] = proof, proof_of_control
            if proof.verified:
                wrong += not accepts(questions[index][None], proof.answer[None])[0]
            on_progress(1)
        verified = np.array([proofs[index].verified for index in range(len(proofs))])
        difficulty = examples["difficulty"][searched]
        by_difficulty = [
            {
                "verified_fraction" if key == "exact_accuracy" else key: value
                for key, value in group.items()
            }
            for group in accuracy_by_difficulty(verified, difficulty)
        ]
        return scores | {
            "verified_fraction_interval": list(wilson_interval(int(verified.sum()), len(verified))),
            "wrong_fraction": wrong / len(verified),
            **_search_scores(proofs.values(), ""),
            **_search_scores(of_control.values(), "_control"),
            "searched_puzzles": len(verified),
            "verified_by_difficulty": by_difficulty,
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
        right, removed, unsound = [], [], []
        size = self._batch_size()
        for start in range(0, len(examples["inputs"]), size):
            part = {k: examples[k][start : start + size] for k in (INPUTS.name, LABELS.name)}
            num = len(part["inputs"])
            batch = pad_batch(part, (INPUTS, LABELS), size)
            inputs = place(batch["inputs"], over_batch(self._reasoner.mesh))
            found = jax.tree.map(lambda x: np.asarray(x)[:num], self._deduce(params, inputs))  # noqa: B023
            model, labels = self._reasoner.model, batch["labels"][:num]
            symbols = symbols_of(labels, model.vocab_size, model.num_symbols)
            right.append((found.answers == labels).all(1))
            removed.append(found.removed)
            unsound.append(has_conflict(found.candidates, symbols))
        right = np.concatenate(right)
        accuracy = float(right.mean())
        return {
            "exact_accuracy": accuracy,
            "exact_accuracy_interval": list(wilson_interval(int(right.sum()), len(right))),
            "accuracy_without_search": accuracy,
            "removed_fraction": float(np.concatenate(removed).mean()),
            "unsound_fraction": float(np.concatenate(unsound).mean()),
            "num_examples": len(right),
        }

    def _batch_size(self) -> int:
        num_devices = self._reasoner.mesh.size
        return -(-self._options.batch_size // num_devices) * num_devices


def _search_scores(proofs: Collection[Proof], suffix: str) -> dict[str, float]:
    """Returns the share of proven puzzles, and median and mean of the passes."""
    passes = [proof.passes for proof in proofs]
    return {
        f"verified_fraction{suffix}": float(np.mean([proof.verified for proof in proofs])),
        f"passes_median{suffix}": float(np.median(passes)),
        f"passes_mean{suffix}": float(np.mean(passes)),
    }
