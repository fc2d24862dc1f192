"""The report page: measures one or several runs, draws them, and writes an HTML file.

`measurements` and `search_measurements` do the measuring, `pictures`, `gradient_pictures` and
`search_pictures` draw, `run_tables` compares numbers; this file arranges the page and writes the
captions.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from cgar_jax import runs as run_folders
from cgar_jax.optimizers import schedule_of
from cgar_jax.recursion import CandidateReasoner
from cgar_jax.reporting import gradient_pictures, gradients, pictures, run_tables
from cgar_jax.reporting.estimates import Estimate
from cgar_jax.reporting.html import Page, Picture
from cgar_jax.reporting.learning_curves import (
    LearningCurve,
    TrainingSignals,
    read_learning_curve,
    read_training_signals,
)
from cgar_jax.reporting.measurements import Measurements, animate_examples, measure_model
from cgar_jax.reporting.run_tables import Run
from cgar_jax.reporting.search_measurements import (
    SearchMeasurements,
    animate_searches,
    measure_search,
)
from cgar_jax.reporting.search_pictures import search_sections
from cgar_jax.reporting.section import Section
from cgar_jax.reporting.svg import save_svg

PAGE = "index.html"


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """The amount of measurement in a report.

    Attributes:
      num_puzzles: largest number of test puzzles, drawn at random.
      num_minibatches: number of minibatches for the gradients, at least 2; 0 leaves gradients out.

    Raises:
      ValueError: if a number is out of range.
    """

    num_puzzles: int = 500
    num_minibatches: int = 32

    def __post_init__(self):
        if self.num_puzzles < 1:
            raise ValueError(f"num_puzzles is {self.num_puzzles}; expected 1 or more")
        if self.num_minibatches < 0 or self.num_minibatches == 1:
            raise ValueError(f"num_minibatches is {self.num_minibatches}; expected 0, or 2 or more")


def write_report(
    runs: Sequence[Run],
    folder: pathlib.Path,
    options: ReportOptions = ReportOptions(),
    on_progress: Callable[[str], None] = lambda activity: None,
) -> pathlib.Path:
    """Measures runs, draws pictures of them and writes the page.

    Args:
      runs: the runs, which are compared in the same pictures.
      folder: folder for the page and the picture files; it must exist.
      options: amount of measurement.
      on_progress: called with a description of the current work.

    Returns:
      Path of the page. The page is one file that needs no network.
    """
    measured, searched, animations = {}, {}, []
    for number, run in enumerate(runs, 1):

        def show(activity, run=run):
            on_progress(f"{run.name}: {activity}")

        path = folder / f"solving_{number}"
        if isinstance(run.model.experiment.reasoner, CandidateReasoner):
            found = measure_search(run.model, options.num_puzzles, show)
            searched[run.name] = found
            show("animating a puzzle")
            animations += animate_searches(run.model, run.name, found, path)
        else:
            found = measure_model(run.model, options.num_puzzles, options.num_minibatches, show)
            measured[run.name] = found
            show("animating puzzles")
            animations += animate_examples(run.model, run.name, found, path)
    on_progress("drawing the pictures")
    page = Page(f"cgar_jax: {', '.join(run.name for run in runs)}")
    _add_results(page, runs)
    for section in _sections(runs, measured, searched):
        page.add_heading(section.title)
        path = folder / f"{section.name}.svg"
        save_svg(section.figure, path)
        page.add_picture(Picture(path, section.caption, section.alt))
    if options.num_minibatches and measured:
        page.add_table(*run_tables.variance_table(_variances(measured)))
        numbers = [f"{options.num_minibatches} of {name}" for name in measured]
        page.add_text(f"Number of minibatches: {', '.join(numbers)}.")
    _add_animations(page, animations, bool(measured), bool(searched))
    page.write(folder / PAGE)
    return folder / PAGE


def _add_results(page: Page, runs: Sequence[Run]) -> None:
    page.add_heading("Results")
    page.add_table(*run_tables.result_comparison(runs))
    if unfinished := [run.name for run in runs if run.result is None]:
        page.add_text(
            f"Without a result, because training was stopped or is still running: "
            f"{', '.join(unfinished)}. Everything below was measured on the checkpoint."
        )
    if without_log := [run.name for run in runs if not run.metrics]:
        page.add_text(
            f"Without a metrics log, and therefore without a learning curve: "
            f"{', '.join(without_log)}."
        )
    if len(runs) > 1:
        page.add_heading("Settings that differ")
        header, rows = run_tables.differing_settings(runs)
        if rows:
            page.add_table(header, rows)
        else:
            page.add_text("None.")
    for run in runs:
        config, task = run.model.experiment.config, run.model.experiment.task
        settings = json.dumps(run_folders.settings(config, task), indent=2)
        page.add_details(f"Config of {run.name}", settings)


def _add_animations(page: Page, animations: Sequence[Picture], deep: bool, search: bool) -> None:
    page.add_heading("Watch it solve a puzzle")
    if deep:
        page.add_text(
            "One frame for each cycle of the recursion, until nothing changes any more. The color "
            "of a cell shows the model's confidence, the probability of its token. Clues are gray, "
            "and errors have a red frame."
        )
    if search:
        page.add_text(
            "One frame for each pass of a search. Small digits are candidates, pale ones were "
            "removed by the pass; guesses are orange, and contradictions have a red frame."
        )
    page.add_pictures(animations)


def _sections(
    runs: Sequence[Run],
    measured: Mapping[str, Measurements],
    searched: Mapping[str, SearchMeasurements],
) -> Iterator[Section]:
    yield from _training_sections(runs)
    if searched:
        yield from search_sections(searched)
    if not measured:
        return
    yield from _prediction_sections(measured)
    deep = [run for run in runs if run.name in measured]
    yield Section(
        "Loss weights of the supervision steps",
        "loss_weights",
        gradient_pictures.loss_weights({run.name: _loss_weights(run) for run in deep}),
        _loss_weights_caption(deep),
        f"Line chart of the loss weight of each supervision step: {', '.join(measured)}",
    )
    if any(each.moments for each in measured.values()):
        yield from _gradient_sections(measured)


def _training_sections(runs: Sequence[Run]) -> Iterator[Section]:
    curves = {run.name: read_learning_curve(run.metrics) for run in runs}
    if not any(curve.steps for curve in curves.values()):
        return
    names = ", ".join(curves)
    yield Section(
        "Learning curves",
        "learning_curves",
        pictures.learning_curves(curves),
        "Top: exact accuracy on the validation split, with averaged parameters at full depth; the "
        "band is its 95% interval. With evaluation.until_halted (the default), a model that halts "
        "gives the answer at which it halts. Middle: training loss, including the loss weights of "
        "the run. It can rise while accuracy rises, because easy examples leave the batch early. "
        "Dotted lines mark the steps at which the depth grows.",
        f"Line charts of validation accuracy and training loss by optimizer step: {names}. "
        f"{_final_accuracies(curves)}",
    )
    yield Section(
        "Accuracy against training FLOPs",
        "accuracy_by_flops",
        pictures.accuracy_by_flops(curves),
        "Model FLOPs that training had spent at each validation, computed from the curriculum: "
        "they count matrix products, and a backward pass as two forward passes. "
        "G, T and P are 10 to the power of 9, 12 and 15. Bands are 95% intervals.",
        f"Line chart of validation accuracy by model FLOPs of training: {names}. "
        f"{_final_accuracies(curves)}",
    )
    signals = {run.name: _signals(run) for run in runs}
    halting = any(each.has_halting for each in signals.values())
    yield Section(
        "Further signals of training",
        "training_signals",
        pictures.training_signals(signals),
        "The learning rate follows from the config. The other numbers are means since the previous "
        "log entry: the norm of the gradient of the weighted loss; the training examples per "
        "second, without compilation, validation and checkpoints"
        + "; the share of finished examples whose halting decision was right" * halting
        + ".",
        "Line charts of learning rate, gradient norm, speed"
        f"{' and halting accuracy' * halting}: {names}",
    )


def _final_accuracies(curves: Mapping[str, LearningCurve]) -> str:
    """Returns a sentence with the last validation accuracy of each run."""
    last = [
        f"{name}: {curve.accuracies.values[-1]:.1%} at step {curve.validated_steps[-1]:,}"
        for name, curve in curves.items()
        if curve.validated_steps and np.isfinite(curve.accuracies.values[-1])
    ]
    return f"Last validation of {'; '.join(last)}" if last else "Nothing was validated"


def _signals(run: Run) -> TrainingSignals:
    config = run.model.experiment.config
    schedule = schedule_of(config.optimizer, config.training.steps)
    return read_training_signals(run.metrics, schedule, config.batch_size)


def _prediction_sections(measured: Mapping[str, Measurements]) -> Iterator[Section]:
    sizes = ", ".join(f"{each.num_puzzles:,} of {name}" for name, each in measured.items())
    sample = f"Test puzzles, drawn at random: {sizes}. Full depth, all supervision steps."
    yield Section(
        "Accuracy by supervision step",
        "accuracy_by_step",
        pictures.accuracy_by_step(
            {name: each.accuracy_by_step() for name, each in measured.items()}
        ),
        f"{sample} An answer is exact if all its cells agree with the labeled answer. Bands are "
        "95% intervals: Wilson's for exact, normal for cell accuracy.",
        f"Line charts of exact and cell accuracy by supervision step: {', '.join(measured)}",
    )
    yield Section(
        "Halting",
        "halting_histogram",
        pictures.halting_histogram(
            {name: each.halting_counts() for name, each in measured.items()}
        ),
        f"{sample} The model halts once its halting probability is above one half.",
        f"Histogram of the supervision step at which the model halts: {', '.join(measured)}",
    )
    groups = {name: each.accuracy_by_difficulty() for name, each in measured.items()}
    groups = {name: found for name, found in groups.items() if len(found) > 1}
    if not groups:  # a single bar would only repeat the accuracy
        return
    yield Section(
        "Accuracy by difficulty",
        "accuracy_by_difficulty",
        pictures.accuracy_by_difficulty(groups),
        f"{sample} Groups of about equal size, from easy to hard; there are fewer groups if many "
        "puzzles are equally difficult. Difficulty is the rating in the data: guesses of a Sudoku "
        "solver, steps of a shortest path, or cells of an ARC grid. Thin lines are "
        "95% Wilson intervals.",
        f"Bar chart of exact accuracy from easy to hard puzzles: {', '.join(groups)}",
    )


def _gradient_sections(measured: Mapping[str, Measurements]) -> Iterator[Section]:
    norms = {}
    for name, each in measured.items():
        for when, sets in each.moments.items():
            found = np.array([part.norms for part in sets])
            mean = np.sqrt(np.square(found).mean(0))
            norms[f"{name}, {when}"] = Estimate(mean, found.min(0), found.max(0))
    yield Section(
        "Gradient norm by supervision step",
        "gradient_norms",
        gradient_pictures.gradient_norms(norms),
        "Norm of the gradient of one supervision step's answer and halting loss, without loss "
        "weights, with averaged parameters at full depth. The minibatches consist of augmented "
        "training examples, none of which halts. Bands show the range over disjoint sets of "
        "minibatches.",
        f"Line chart of the gradient norm by supervision step: {', '.join(norms)}",
    )
    yield Section(
        "Gradient variance with and without HSW",
        "gradient_variances",
        gradient_pictures.gradient_variances(_variances(measured)),
        "Variance of the weighted gradient between minibatches, with uniform weights and with HSW "
        "(decay 0.7); each set of weights sums to 1. All at once: the weighted sum over all "
        "supervision steps of a minibatch. One at a time: one random supervision step per "
        "minibatch, as in a trainer whose examples all began together. Below: the variance divided "
        "by the squared norm of the mean gradient. Lines show the range over disjoint sets of "
        "minibatches. The paper (Qasim and Zhang 2025, arXiv "
        "2511.08653) claims a reduction of 40%; we do not know how it was measured. These are "
        "our definitions, and the results hold for these parameters only. In a trained model, a "
        "few puzzles cause most of the gradient: use many minibatches before you rely on a number.",
        f"Bar charts of the gradient's variance with HSW relative to uniform weights: "
        f"{', '.join(measured)}; the table below has the numbers",
    )


def _variances(measured: Mapping[str, Measurements]) -> dict[str, dict[str, np.ndarray]]:
    """Returns the changes of the variance by HSW, by label of the row."""
    return {
        f"{name}, {when}\n{how}": gradients.changes_by_hsw(sets, one_at_a_time)
        for name, each in measured.items()
        for when, sets in each.moments.items()
        for how, one_at_a_time in (("all at once", False), ("one at a time", True))
    }


def _loss_weights(run: Run) -> dict[str, Sequence[float]]:
    config = run.model.experiment.config
    return gradients.weights_by_step(config.weighting, config.supervision.max_supervision_steps)


def _loss_weights_caption(runs: Sequence[Run]) -> str:
    caption = (
        "Factors by which hierarchical supervision weighting (HSW) multiplies the loss of each "
        "supervision step; 1 without HSW."
    )
    others = {}
    for run in runs:
        names = [entry[0] for entry in run.model.experiment.config.weighting]
        others[run.name] = [name for name in names if name != gradients.HIERARCHICAL]
    listed = [f"{name}: {', '.join(left)}" for name, left in others.items() if left]
    return f"{caption} Other weightings are not shown: {'; '.join(listed)}." if listed else caption
