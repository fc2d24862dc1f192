"""The measurements of a report on a model that eliminates candidates: deductions and searches."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cgar_jax.data import Examples
from cgar_jax.evaluation import CandidateEvaluator, Proof
from cgar_jax.evaluation.candidate_evaluator import LOOPS_WITHOUT_SEARCH, Deductions, by_difficulty
from cgar_jax.reporting import estimates
from cgar_jax.reporting.estimates import Estimate
from cgar_jax.reporting.html import Picture
from cgar_jax.reporting.measurements import sample
from cgar_jax.reporting.reported_model import ReportedModel


class SearchMeasurements(NamedTuple):
    """Everything that was measured on one model.

    Attributes:
      test: the test puzzles, a random sample.
      deductions: what single passes found, without a guess.
      proofs: proofs by search.
      of_control: proofs by the same search with singles in place of the network.
    """

    test: Examples
    deductions: Deductions
    proofs: list[Proof]
    of_control: list[Proof]

    @property
    def num_puzzles(self) -> int:
        """The number of test puzzles."""
        return len(self.proofs)

    def accuracy_by_loop(self) -> Estimate:
        """Returns the share of puzzles solved without search by each loop, `[64]`."""
        loops = self.deductions.loops[self.deductions.right]
        solved = np.bincount(loops, minlength=LOOPS_WITHOUT_SEARCH + 1).cumsum()[1:]
        return estimates.of_shares(solved, self.num_puzzles)

    def passes(self) -> dict[str, np.ndarray]:
        """Returns the passes with the network and with singles, sorted; infinite if unsolved."""
        return {
            name: np.sort([proof.passes if proof.verified else np.inf for proof in proofs])
            for name, proofs in (("network", self.proofs), ("singles", self.of_control))
        }

    def search_by_difficulty(self) -> list[dict[str, float]]:
        """Returns the scores of the searches in groups from easy to hard."""
        return by_difficulty(self.proofs, self.of_control, self.test["difficulty"])


def measure_search(
    model: ReportedModel, num_puzzles: int, on_progress: Callable[[str], None]
) -> SearchMeasurements:
    """Measures a model that eliminates candidates on its own data.

    Args:
      model: the model.
      num_puzzles: largest number of test puzzles.
      on_progress: called with a description of the current work.
    """
    on_progress("loading the data")
    test = sample(model.dataset().test, num_puzzles)
    evaluator = model.experiment.evaluator
    assert isinstance(evaluator, CandidateEvaluator)
    num, done = len(test["inputs"]), 0
    on_progress(f"solving {num:,} test puzzles without search")
    deductions = evaluator.deduce(model.params, test)

    def count(newly_done):
        nonlocal done
        done += newly_done
        on_progress(f"searching, {done:,} of {num:,} test puzzles")

    proofs, of_control = evaluator.prove(model.params, test["inputs"], model.accepts, count)
    return SearchMeasurements(test, deductions, proofs, of_control)


def animate_searches(
    model: ReportedModel, name: str, measured: SearchMeasurements, path: pathlib.Path
) -> list[Picture]:
    """Animates the search for the puzzle with the most passes of those that need at most 60.

    Args:
      model: the model.
      name: name of the model in captions.
      measured: measurements on the model.
      path: beginning of the path of the GIF file.

    Returns:
      A GIF with its caption, or nothing if no puzzle is solved so soon.
    """
    passes = [
        proof.passes if proof.verified and proof.passes <= 60 else 0 for proof in measured.proofs
    ]
    if not any(passes):
        return []
    file = path.with_name(f"{path.name}_search.gif")
    found = model.animate(measured.test["inputs"][int(np.argmax(passes))], file)
    caption = f"{name}: a puzzle of the sample, solved in {len(found.events)} passes."
    alt = f"Animation of {name} removing candidates, one frame per pass of the search"
    return [Picture(file, caption, alt)]
