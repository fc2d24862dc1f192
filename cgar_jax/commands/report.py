"""Draws what became of runs: `cgar report --workdir=FOLDER [--workdir=FOLDER ...]`.

It writes a page, `index.html`, and its pictures beside it. The page is one file that needs no
network. Several runs are compared, run by run in the same pictures.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict
from matplotlib.figure import Figure

from cgar_jax import data, model_files, trained_model
from cgar_jax import runs as run_folder
from cgar_jax.commands import command_line
from cgar_jax.data import Dataset
from cgar_jax.data.dataset import Examples
from cgar_jax.evaluation import StepPredictions, accuracy_by_difficulty
from cgar_jax.evaluation.accuracy import first_halting_steps
from cgar_jax.evaluation.evaluator import join
from cgar_jax.reporting import gradients, pictures
from cgar_jax.reporting.gradients import GradientMoments
from cgar_jax.reporting.html import Page
from cgar_jax.reporting.result_table import result_rows
from cgar_jax.training.state import averaged

VALIDATED = "validation/exact_accuracy"


class Run(NamedTuple):
    """What a folder holds of a run."""

    name: str
    model: trained_model.TrainedModel
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None


class Findings(NamedTuple):
    """What a model was measured to be."""

    predictions: StepPredictions  # of some test puzzles
    difficulty: np.ndarray  # of these
    moments: dict[str, GradientMoments]  # by what they were measured on


def report(
    workdirs: Sequence[str | os.PathLike],
    output: str | os.PathLike | None = None,
    num_puzzles: int = 500,
    num_minibatches: int = 32,
) -> pathlib.Path:
    """Measures runs, draws pictures of them and writes the page.

    Args:
      workdirs: of the runs, or what else `cgar_jax.trained_model.load` takes.
      output: folder for the page and the pictures; by default `report` in the first workdir.
      num_puzzles: how many test puzzles to ask at most, drawn at random.
      num_minibatches: to measure gradients on, at least 2; 0 leaves gradients out.

    Returns:
      Path of the page.

    Raises:
      ValueError: a workdir is given twice, or a number is out of range.
      OSError: there is no run, no checkpoint or no data; see also `cgar_jax.trained_model.load`.
    """
    if num_puzzles < 1:
        raise ValueError(f"num_puzzles is {num_puzzles}, but it must be 1 or more")
    if num_minibatches < 0 or num_minibatches == 1:
        raise ValueError(f"num_minibatches is {num_minibatches}, but it must be 0, or 2 or more")
    runs = _read(workdirs)
    folder = run_folder.make(output or model_files.locate(workdirs[0]) / "report")
    findings, animations = {}, {}
    for number, run in enumerate(runs):
        print(f"{run.name}: measuring its checkpoint of step {run.model.step:,}", flush=True)
        dataset = data.load(run.model.experiment.config.data)
        test = _some(dataset.test, num_puzzles)
        findings[run.name] = _measure(run, dataset, test, num_minibatches)
        predictions = findings[run.name].predictions
        animations[run.name] = _animate(run, test, predictions, folder / f"solving_{number + 1}")
    page = Page(f"cgar_jax: {', '.join(run.name for run in runs)}")
    _write_figures(page, runs)
    for title, name, figure, caption in _drawn(runs, findings):
        page.section(title)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=130, metadata={"Software": None})
        page.picture(path, caption)
    if num_minibatches:
        _write_variances(page, findings)
    _write_animations(page, animations)
    page.write(folder / "index.html")
    return folder / "index.html"


def _read(workdirs: Sequence[str | os.PathLike]) -> list[Run]:
    """The runs by name, that of the folder where no other has it."""
    folders = [model_files.locate(workdir) for workdir in workdirs]
    paths = [folder.absolute().resolve() for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"workdir {path} is given twice")
    last = [path.name for path in paths]
    return [
        Run(
            path.name if last.count(path.name) == 1 else str(folder),
            trained_model.load(folder),
            run_folder.read_metrics(folder),
            run_folder.read_result(folder),
        )
        for folder, path in zip(folders, paths, strict=True)
    ]


def _some(examples: Examples, number: int) -> Examples:
    num = len(examples["inputs"])
    rows = np.random.default_rng(0).permutation(num)[:number]
    return {name: column[np.sort(rows)] for name, column in examples.items()}


def _measure(run: Run, dataset: Dataset, test: Examples, num_minibatches: int) -> Findings:
    pieces, weights, step = run.model.experiment, run.model.params, run.model.step
    predictions = join(pieces.evaluator.predict(weights, test))
    moments = {}
    if num_minibatches:
        measured = {"untrained": averaged(pieces.initial_state()), f"step {step:,}": weights}
        depth = pieces.curriculum.full_depth
        moments = {
            when: gradients.measure(pieces.train_step, depth, each, dataset, num_minibatches)
            for when, each in measured.items()
        }
    return Findings(predictions, test["difficulty"], moments)


def _animate(
    run: Run, test: Examples, predictions: StepPredictions, path: pathlib.Path
) -> list[tuple[pathlib.Path, str]]:
    """GIFs with captions: the solved puzzle that took longest, and one that is not solved."""
    exact, counts = predictions.exact, predictions.counts
    stays = np.logical_and.accumulate(exact[::-1])[::-1]  # right from here to the end
    took = np.where(exact[-1] & counts, len(exact) - stays.sum(0) + 1, 0)
    failed = np.where(counts & ~exact[-1], 1 + predictions.cell_accuracy[-1], 0)
    found = []
    for score, suffix, caption in (
        (took, "solved", f"right from supervision step {took.max()} on, none later"),
        (failed, "unsolved", "not the labelled answer in the end, the nearest to it"),
    ):
        if score.any():
            row = int(score.argmax())
            columns = {name: column[row] for name, column in test.items()}
            file = path.with_name(f"{path.name}_{suffix}.gif")
            identifier = int(columns["puzzle_identifiers"])
            run.model.animate(columns["inputs"], file, columns["labels"], identifier)
            found.append((file, f"{run.name}: {caption} of the test puzzles asked."))
    return found


def _drawn(
    runs: Sequence[Run], findings: Mapping[str, Findings]
) -> Iterator[tuple[str, str, Figure, str]]:
    """The pictures of all runs: title, name, figure and caption of each."""
    yield from _of_training(runs)
    yield from _of_predictions(findings)
    yield (
        "Weights of the supervision steps",
        "loss_weights",
        pictures.loss_weights({run.name: _loss_weights(run) for run in runs}),
        _weights_caption(runs),
    )
    if any(f.moments for f in findings.values()):
        yield from _of_gradients(findings)


def _of_training(runs: Sequence[Run]) -> Iterator[tuple[str, str, Figure, str]]:
    curves = {run.name: _learning_curve(run) for run in runs}
    if any(curve.steps for curve in curves.values()):
        yield (
            "Learning curves",
            "learning_curves",
            pictures.learning_curves(curves),
            "Exact accuracy on the validation split with averaged weights at full depth (unless "
            "evaluation.until_halted is off: of the answers when puzzles halt), and the "
            "loss that was trained, which has the weights of the run in it and rises when easy "
            "examples begin to halt and leave the batch. Dotted lines: the depth grows.",
        )
        flops = {run.name: _validated_flops(run, curves[run.name]) for run in runs}
        yield (
            "FLOPs spent against accuracy",
            "accuracy_by_flops",
            pictures.accuracy_by_flops(flops),
            "Model FLOPs of training until each validation, worked out from the curriculum: matrix "
            "products, a backward pass counted as two forward ones. T is 10 to the power of 12.",
        )


def _of_predictions(findings: Mapping[str, Findings]) -> Iterator[tuple[str, str, Figure, str]]:
    asked = ", ".join(f"{f.predictions.counts.sum():,} of {name}" for name, f in findings.items())
    judged = f"Test puzzles, drawn at random: {asked}. Full depth, all supervision steps."
    yield (
        "Accuracy by supervision step",
        "accuracy_by_step",
        pictures.accuracy_by_step({name: _by_step(f) for name, f in findings.items()}),
        f"{judged} Exact: all cells that count are those of the labelled answer.",
    )
    yield (
        "Halting",
        "halting_histogram",
        pictures.halting_histogram({name: _halting(f) for name, f in findings.items()}),
        f"{judged} The first step at which the halting probability is above one half.",
    )
    yield (
        "Accuracy by difficulty",
        "accuracy_by_difficulty",
        pictures.accuracy_by_difficulty({name: _by_difficulty(f) for name, f in findings.items()}),
        f"{judged} Groups of about equal size from easy to hard, fewer where many puzzles are "
        "equally difficult. The difficulty is that of the data: guesses of a Sudoku solver, steps "
        "of a shortest path, cells of an ARC grid.",
    )


def _of_gradients(findings: Mapping[str, Findings]) -> Iterator[tuple[str, str, Figure, str]]:
    norms = {
        f"{name}, {when}": moments.norms
        for name, f in findings.items()
        for when, moments in f.moments.items()
    }
    yield (
        "Gradient by supervision step",
        "gradient_norms",
        pictures.gradient_norms(norms),
        "Norm of the gradient of the answer and halting loss of one supervision step, "
        "unweighted, with the averaged weights at full depth on minibatches of augmented "
        "training examples that do not halt.",
    )
    yield (
        "Gradient variance with and without HSW",
        "gradient_variances",
        pictures.gradient_variances(dict(_variances(findings))),
        "Variance between minibatches of the weighted gradient, for even weights and for HSW "
        "with decay 0.7, both of sum 1. All at once: the weighted sum over the supervision "
        "steps of a minibatch. One at a time: a minibatch at a single step drawn at random, as "
        "a trainer takes it while its examples march together. Relative: over the squared norm "
        "of the mean gradient. The paper (Qasim and Zhang 2025, arXiv 2511.08653) claims a "
        "reduction of 40 %; how it measured that we do not know. These are our definitions, "
        "measured on these weights alone. In a trained model a few puzzles make most of the "
        "gradient: take many minibatches before you believe a figure.",
    )


def _learning_curve(run: Run) -> pictures.LearningCurve:
    trained_entries = [entry for entry in run.metrics if "loss" in entry]
    validations = [entry for entry in run.metrics if VALIDATED in entry]
    return pictures.LearningCurve(
        [entry["step"] for entry in trained_entries],
        [_number(entry["loss"]) for entry in trained_entries],
        [entry["step"] for entry in validations],
        [_number(entry[VALIDATED]) for entry in validations],
        _stages(trained_entries),
    )


def _stages(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """The depths that were trained at, each with its first step and the step after its last."""
    lasts = {}
    for entry in entries:
        lasts[entry["depth"]] = entry["step"]
    ends = (0, *lasts.values())
    return [(depth, *ends[i : i + 2]) for i, depth in enumerate(lasts)]


def _number(value: float | None) -> float:
    return np.nan if value is None else value  # JSON has no NaN


def _validated_flops(run: Run, curve: pictures.LearningCurve) -> tuple[list[int], Sequence[float]]:
    spent = {entry["step"]: entry["train_flops"] for entry in run.metrics if "loss" in entry}
    return [spent[step] for step in curve.validated], curve.accuracies


def _by_step(found: Findings) -> tuple[np.ndarray, np.ndarray]:
    predictions, counts = found.predictions, found.predictions.counts
    return tuple(
        values[:, counts].mean(1) for values in (predictions.exact, predictions.cell_accuracy)
    )


def _halting(found: Findings) -> np.ndarray:
    halts = found.predictions.halts[:, found.predictions.counts]
    return np.bincount(first_halting_steps(halts) - 1, minlength=len(halts) + 1)


def _by_difficulty(found: Findings) -> list[dict[str, float]]:
    counts = found.predictions.counts
    return accuracy_by_difficulty(found.predictions.exact[-1][counts], found.difficulty[counts])


def _loss_weights(run: Run) -> dict[str, np.ndarray]:
    config = run.model.experiment.config
    return gradients.weights_by_step(config.weighting, config.supervision.max_supervision_steps)


def _weights_caption(runs: Sequence[Run]) -> str:
    others = {run.name: [entry[0] for entry in run.model.config.weighting] for run in runs}
    told = [
        f"{name}: {', '.join(left)}"
        for name, names in others.items()
        if (left := [each for each in names if each != gradients.HIERARCHICAL])
    ]
    caption = "What hierarchical supervision weighting (HSW) multiplies the losses of a step with."
    return f"{caption} Not shown are other weightings: {'; '.join(told)}." if told else caption


def _variances(findings: Mapping[str, Findings]) -> Iterator[tuple[str, tuple]]:
    """By row, the variance with even weights and with HSW."""
    for name, found in findings.items():
        for when, moments in found.moments.items():
            weights = gradients.uniform_and_hierarchical(len(moments.norms))
            for how, one_at_a_time in (("all at once", False), ("one at a time", True)):
                pair = tuple(moments.variance(each, one_at_a_time) for each in weights)
                yield f"{name}, {when}\n{how}", pair


def _write_variances(page: Page, findings: Mapping[str, Findings]) -> None:
    def change(without, having):
        return f"{having / without - 1:+.0%}" if np.isfinite(having / without) else "unknown"

    def row(label, without, having):
        pairs = [(getattr(without, kind), getattr(having, kind)) for kind in without._fields]
        label = label.replace("\n", ", ")
        return [label, *(cell for a, b in pairs for cell in (f"{a:.3g}", f"{b:.3g}", change(a, b)))]

    header = ["", "variance, even weights", "HSW", "change"]
    header += ["relative, even weights", "HSW", "change"]
    page.table(header, [row(label, *pair) for label, pair in _variances(findings)])
    nums = {name: next(iter(f.moments.values())).num_minibatches for name, f in findings.items()}
    page.text(f"Minibatches: {', '.join(f'{num} of {name}' for name, num in nums.items())}.")


def _write_figures(page: Page, runs: Sequence[Run]) -> None:
    """The figures of the runs side by side, and the settings in which they differ."""
    columns = [result_rows(run.result) if run.result else {} for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    steps = [
        f"step {run.model.step:,} of {run.model.experiment.config.training.steps:,}" for run in runs
    ]
    rows = [["checkpoint", *steps]]
    rows += [[name, *(column.get(name, "–") for column in columns)] for name in names]
    page.section("Figures")
    page.table(["", *(run.name for run in runs)], rows)
    if unfinished := [run.name for run in runs if run.result is None]:
        page.text(
            f"Without a result, still in training or stopped: {', '.join(unfinished)}. What is "
            "measured below is measured on the checkpoint."
        )
    if without_log := [run.name for run in runs if not run.metrics]:
        page.text(f"Without a log, and so without learning curves: {', '.join(without_log)}.")
    if len(runs) > 1:
        page.section("Settings that differ")
        differing = _differences(runs)
        if differing:
            page.table(["", *(run.name for run in runs)], differing)
        else:
            page.text("None.")


def _differences(runs: Sequence[Run]) -> list[list[str]]:
    """A row for each setting that is not the same in all runs."""
    flat = []
    for run in runs:
        settings = run_folder.settings(run.model.experiment.config, run.model.experiment.task)
        flat.append(flatten_dict(settings, sep="."))
    rows = []
    for key in sorted({key for settings in flat for key in settings}):
        values = [json.dumps(settings[key]) if key in settings else "–" for settings in flat]
        if len(set(values)) > 1:
            rows.append([key, *values])
    return rows


def _write_animations(page: Page, animations: Mapping[str, list[tuple[pathlib.Path, str]]]) -> None:
    page.section("Puzzles being solved")
    page.text(
        "A frame for each cycle of the recursion, until nothing changes any more. The colour of a "
        "cell is the probability of its token; clues are grey, errors framed in red."
    )
    page.pictures(each for found in animations.values() for each in found)


REQUIRED = ("workdir",)
EXAMPLES = (
    "cgar report --workdir=latest",
    "cgar report --workdir=runs/cgar --workdir=runs/trm --output=comparison",
)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_workdir(
        "folder of a run, `latest` for the newest one in runs/, or folder of a shared model; "
        "repeat it to compare runs",
        several=True,
    )
    command_line.define_path(
        "output", "folder for index.html and pictures; by default `report` in the first workdir"
    )
    flags.DEFINE_integer("num_puzzles", 500, "Test puzzles to ask at most.")
    flags.DEFINE_integer(
        "num_minibatches", 32, "To measure gradients on, 2 or more; 0 leaves them out."
    )


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """The command."""
    page = report(values.workdir, values.output, values.num_puzzles, values.num_minibatches)
    print(f"open {page}")
