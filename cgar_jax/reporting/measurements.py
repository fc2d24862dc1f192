"""The measurements of a report: predictions for test puzzles, gradients, and animations."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cgar_jax.data import Dataset, Examples, schema
from cgar_jax.evaluation import StepPredictions, accuracy_by_difficulty
from cgar_jax.evaluation.accuracy import first_halting_steps
from cgar_jax.evaluation.evaluator import join
from cgar_jax.reporting import estimates, gradients
from cgar_jax.reporting.estimates import Estimate
from cgar_jax.reporting.gradients import GradientMoments
from cgar_jax.reporting.html import Picture
from cgar_jax.reporting.reported_model import ReportedModel
from cgar_jax.training.state import averaged

_MOST_SETS = 4  # of minibatches, whose spread shows how sure the variances are


class Measurements(NamedTuple):
    """Everything that was measured on one model.

    Attributes:
      test: the test puzzles, a random sample.
      predictions: predictions for the test puzzles.
      moments: moments of the gradients on disjoint sets of minibatches, by a description of the
        parameters.
    """

    test: Examples
    predictions: StepPredictions
    moments: dict[str, list[GradientMoments]]

    @property
    def num_puzzles(self) -> int:
        """The number of test puzzles that count."""
        return int(self.predictions.counts.sum())

    def accuracy_by_step(self) -> tuple[Estimate, Estimate]:
        """Returns exact and cell accuracy after each supervision step, `[steps]` each."""
        counts = self.predictions.counts
        right = self.predictions.exact[:, counts].sum(1)
        cells = estimates.of_means(self.predictions.cell_accuracy[:, counts])
        cells = cells._replace(high=np.minimum(cells.high, 1), low=np.maximum(cells.low, 0))
        return estimates.of_shares(right, self.num_puzzles), cells

    def halting_counts(self) -> np.ndarray:
        """Returns numbers of puzzles by first halting step, with "never" last, `[steps + 1]`."""
        halts = self.predictions.halts[:, self.predictions.counts]
        return np.bincount(first_halting_steps(halts) - 1, minlength=len(halts) + 1)

    def accuracy_by_difficulty(self) -> list[dict[str, float]]:
        """Returns the exact accuracy in groups from easy to hard."""
        counts = self.predictions.counts
        exact = self.predictions.exact[-1][counts]
        return accuracy_by_difficulty(exact, self.test["difficulty"][counts])


def measure_model(
    model: ReportedModel,
    num_puzzles: int,
    num_minibatches: int,
    on_progress: Callable[[str], None],
) -> Measurements:
    """Measures a model on its own data.

    Args:
      model: the model.
      num_puzzles: largest number of test puzzles.
      num_minibatches: number of minibatches for the gradients; 0 measures no gradients.
      on_progress: called with a description of the current work.
    """
    on_progress("loading the data")
    dataset = model.dataset()
    test = sample(dataset.test, num_puzzles)
    num = len(test["inputs"])
    parts = []
    on_progress(f"solving {num:,} test puzzles")
    for part in model.experiment.evaluator.predict(model.params, test):
        parts.append(part)
        done = sum(len(each.answers) for each in parts)
        on_progress(f"solving test puzzles, {done:,} of {num:,}")
    moments = {}
    if num_minibatches:
        moments = _measure_gradients(model, dataset, num_minibatches, on_progress)
    return Measurements(test, join(parts), moments)


def animate_examples(
    model: ReportedModel, name: str, measured: Measurements, path: pathlib.Path
) -> list[Picture]:
    """Animates the solved puzzle that took longest, and the nearest miss.

    Args:
      model: the model.
      name: name of the model in captions.
      measured: measurements on the model.
      path: beginning of the paths of the GIF files.

    Returns:
      Up to two GIFs with captions.
    """
    exact, counts = measured.predictions.exact, measured.predictions.counts
    stays_right = np.logical_and.accumulate(exact[::-1])[::-1]  # from this step to the last one
    took = np.where(exact[-1] & counts, len(exact) - stays_right.sum(0) + 1, 0)
    missed = np.where(counts & ~exact[-1], 1 + measured.predictions.cell_accuracy[-1], 0)
    slowest = f"solved, and right from supervision step {took.max()} on; no other puzzle of the"
    found = []
    for score, suffix, caption in (
        (took, "solved", f"{slowest} sample took longer."),
        (missed, "unsolved", "not the labeled answer, but the nearest miss of the sample."),
    ):
        if score.any():
            row = int(score.argmax())
            columns = {key: column[row] for key, column in measured.test.items()}
            file = path.with_name(f"{path.name}_{suffix}.gif")
            identifier = int(columns["puzzle_identifiers"])
            model.animate(columns["inputs"], file, columns["labels"], identifier)
            alt = f"Animation of {name} filling in a puzzle, one frame per cycle of the recursion"
            found.append(Picture(file, f"{name}: {caption}", alt))
    return found


def sample(examples: Examples, number: int) -> Examples:
    """Draws a random sample of some examples, always the same, in the order of the examples.

    Args:
      examples: the examples.
      number: size of the sample; all examples if there are fewer.
    """
    rows = np.random.default_rng(0).permutation(len(examples["inputs"]))[:number]
    return schema.select(examples, np.sort(rows))


def _measure_gradients(
    model: ReportedModel,
    dataset: Dataset,
    num_minibatches: int,
    on_progress: Callable[[str], None],
) -> dict[str, list[GradientMoments]]:
    experiment, moments = model.experiment, {}
    states = {
        "untrained": lambda: averaged(experiment.initial_state()),
        f"step {model.step:,}": lambda: model.params,
    }
    for when, params in states.items():
        moments[when] = []
        measured, num_sets = params(), min(_MOST_SETS, num_minibatches // 2)
        for number in range(num_sets):
            on_progress(
                f"measuring gradients of the model, {when}, part {number + 1} of {num_sets}"
            )
            found = gradients.measure(
                experiment.train_step,
                experiment.reasoner.depth,
                measured,
                dataset,
                num_minibatches // num_sets,
                seed=number,
            )
            moments[when].append(found)
    return moments
