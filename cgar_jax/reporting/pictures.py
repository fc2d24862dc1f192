"""Pictures of runs: from plain numbers to matplotlib figures.

Each function takes what it draws by the name of the run. Nothing here knows of models or files, and
no figure is registered with pyplot: save it with `figure.savefig`, or let a notebook show it.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from cgar_jax.reporting.gradients import Variance

# Okabe and Ito 2008: told apart by colour-blind people too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
WIDTH = 7.0  # inches
_LINES = ("-", "--", ":", "-.")
_STAGES = ("#EDF2F7", "#D3DEE9", "#B4C6D8", "#94ADC6")  # deeper is darker


class LearningCurve(NamedTuple):
    """How a run went; steps are optimizer steps, and missing numbers NaN."""

    steps: Sequence[int]  # of each log entry
    losses: Sequence[float]  # mean training loss since the entry before
    validated: Sequence[int]  # steps at which it was validated
    accuracies: Sequence[float]  # exact accuracy there
    stages: Sequence[tuple[str, int, int]]  # of the curriculum: depth, first step, end step


def learning_curves(runs: Mapping[str, LearningCurve]) -> Figure:
    """Training loss and validation accuracy by optimizer step, over the curricula."""
    heights = [2.4, 2.4, 0.28 * len(runs)]
    figure, grid = _figure(1 + sum(heights), runs, (3, 1), sharex=True, height_ratios=heights)
    accuracy, loss, stages = grid.flat
    for (_, curve), colour in _coloured(runs):
        accuracy.plot(curve.validated, curve.accuracies, "o-", ms=3.5, color=colour)
        loss.plot(curve.steps, curve.losses, lw=1.2, color=colour)
        for _, first, _ in curve.stages[1:]:
            for axes in (accuracy, loss):
                axes.axvline(first, color=colour, lw=0.8, ls=":")
    for row, curve in enumerate(runs.values()):
        for shade, (depth, first, end) in zip(itertools.cycle(_STAGES), curve.stages, strict=False):
            stages.barh(row, end - first, 0.86, first, color=shade)
            stages.text((first + end) / 2, row, depth, ha="center", va="center", fontsize=8)
    stages.set_yticks(range(len(runs)), _texts(runs), fontsize=8)
    stages.invert_yaxis()
    stages.set(xlabel="optimizer step; below the curves, the depth (n, T) of each stage")
    stages.spines["left"].set_visible(False)
    stages.tick_params(left=False)
    stages.grid(False)
    accuracy.set(ylabel="exact accuracy, validation", ylim=(-0.03, 1.03))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    loss.set(ylabel="training loss", yscale="log")
    return figure


def accuracy_by_step(
    runs: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> Figure:
    """Exact and cell accuracy after each supervision step: two lists `[steps]` for each run."""
    figure, (pair,) = _figure(3.4, runs, (1, 2))
    for (_, (exact, cells)), colour in _coloured(runs):
        for axes, values in zip(pair, (exact, cells), strict=True):
            axes.plot(range(1, len(values) + 1), values, "o-", ms=4, color=colour)
    for axes, label in zip(pair, ("exact accuracy", "cell accuracy"), strict=True):
        axes.set(ylabel=label)
        _by_step(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    return figure


def halting_histogram(runs: Mapping[str, Sequence[int]]) -> Figure:
    """When examples halt: counts `[steps + 1]` by first halting step, the last of never."""
    figure, ((axes,),) = _figure(3.4, runs)
    longest = max(len(counts) for counts in runs.values())
    width = 0.8 / len(runs)
    for place, ((_, counts), colour) in enumerate(_coloured(runs)):
        # "Never" lies behind the last step of the longest run, for all of them.
        where = (
            np.append(np.arange(1, len(counts)), longest) + (place - (len(runs) - 1) / 2) * width
        )
        bars = axes.bar(where, np.asarray(counts) / max(sum(counts), 1), width, color=colour)
        if len(runs) == 1:
            axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8)
    axes.set_xticks(range(1, longest + 1), [*map(str, range(1, longest)), "never"])
    axes.set(xlabel="first supervision step that the model would halt at", ylabel="puzzles")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(y=0.1)
    axes.grid(axis="x", visible=False)
    return figure


def accuracy_by_difficulty(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Exact accuracy in groups from easy to hard, as `cgar_jax.evaluation.accuracy_by_difficulty`.

    Each run has axes of its own, because its difficulties may be those of other puzzles.
    """
    most = max(len(groups) for groups in runs.values())
    rows = -(-len(runs) // 2)
    shape = (rows, min(len(runs), 2))
    figure, grid = _figure(rows * (1.1 + 0.27 * most), shape=shape)
    for axes in grid.flat[len(runs) :]:
        axes.set_visible(False)
    for axes, ((name, groups), colour) in zip(grid.flat, _coloured(runs), strict=False):
        accuracies = [group["exact_accuracy"] for group in groups]
        bars = axes.barh(range(len(groups)), accuracies, 0.75, color=colour)
        shown = [f" {g['exact_accuracy']:.0%} of {g['num_examples']:,}" for g in groups]
        axes.bar_label(bars, shown, fontsize=8)
        axes.set_yticks(range(len(groups)), [_span(group) for group in groups])
        axes.set_ylim(most - 0.5, -0.5)  # easy ones on top, bars as thick in all axes
        axes.set(xlim=(0, 1.35), xlabel="exact accuracy", ylabel="difficulty")
        axes.set_xticks((0, 0.5, 1), ("0%", "50%", "100%"))
        axes.grid(axis="y", visible=False)
        if len(runs) > 1:
            axes.set_title(*_texts([name]), fontsize=9)
    return figure


def loss_weights(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """The weight of each supervision step, `[steps]` for each loss term of each run."""
    figure, ((axes,),) = _figure(3.4, runs)
    styles = {"answer": "o-", "halt": "x--"}
    for (_, terms), colour in _coloured(runs):
        for term, weights in terms.items():
            axes.plot(range(1, len(weights) + 1), weights, styles[term], ms=4, color=colour)
    axes.set(ylabel="weight of the loss")
    axes.set_ylim(bottom=0)
    _by_step(axes)
    handles = [
        Line2D([], [], color="#555555", marker=style[0], ls=style[1:], ms=4, label=f"{term} loss")
        for term, style in styles.items()
    ]
    axes.legend(handles=handles, loc="upper right")
    return figure


def gradient_norms(runs: Mapping[str, Sequence[float]]) -> Figure:
    """The norm of the gradient of each supervision step's loss, `[steps]` for each run."""
    figure, ((axes,),) = _figure(3.4, runs)
    for (_, norms), colour in _coloured(runs):
        axes.plot(range(1, len(norms) + 1), norms, "o-", ms=4, color=colour)
    axes.set(ylabel="gradient norm, root mean square")
    axes.set_ylim(bottom=0)
    _by_step(axes)
    return figure


def gradient_variances(rows: Mapping[str, tuple[Variance, Variance]]) -> Figure:
    """The variance of the weighted gradient without HSW and with it, as parts of the former."""
    figure, (pair,) = _figure(1.4 + 0.55 * len(rows), shape=(1, 2), sharey=True)
    titles = {"absolute": "variance", "relative": "variance relative to the squared mean"}
    for axes, (kind, title) in zip(pair, titles.items(), strict=True):
        for place, (without, having) in enumerate(rows.values()):
            part = getattr(having, kind) / getattr(without, kind)
            axes.barh(place - 0.19, 1, 0.36, color="#B8B8B8")
            axes.barh(place + 0.19, part, 0.36, color=COLOURS[0])
            known = np.isfinite(part)
            shown = f" {part - 1:+.0%}" if known else " the mean is lost in the noise"
            axes.text(part if known else 0, place + 0.19, shown, va="center", fontsize=8)
        axes.axvline(0.6, color=COLOURS[1], lw=1, ls="--")
        axes.set_title(title, fontsize=9)
        axes.margins(x=0.16)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
    pair[0].set_yticks(range(len(rows)), _texts(rows), fontsize=8)
    pair[0].invert_yaxis()
    figure.supxlabel("1 is that of even weights", fontsize=9)
    handles = [
        Line2D([], [], color="#B8B8B8", lw=6, label="even weights"),
        Line2D([], [], color=COLOURS[0], lw=6, label="HSW, decay 0.7"),
        Line2D([], [], color=COLOURS[1], lw=1, ls="--", label="the paper's claim, -40 %"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    return figure


def accuracy_by_flops(runs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Validation accuracy against FLOPs spent until then: two lists for each run."""
    figure, ((axes,),) = _figure(3.6, runs)
    for (_, (flops, accuracies)), colour in _coloured(runs):
        axes.plot(flops, accuracies, "o-", ms=4, color=colour)
    axes.set(xlabel="model FLOPs of training", ylabel="exact accuracy, validation")
    axes.set(ylim=(-0.03, 1.03), xlim=(0, None))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def accuracy_by_rollouts(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Share solved against FLOPs of solving, for each way to choose among rollouts.

    Args:
      rows: as of `cgar_jax.commands.rollouts.measure`.
    """
    costs = dict.fromkeys(("pass", "halting", "majority"), "flops")
    costs["verified"] = "flops_until_verified"
    figure, ((axes,),) = _figure(3.6, costs)
    lines = dict(zip(sorted({row["steps"] for row in rows}), itertools.cycle(_LINES), strict=False))
    for (way, cost), colour in _coloured(costs):
        for steps, line in lines.items():
            found = [(row[cost], row[way]) for row in rows if row["steps"] == steps]
            axes.plot(*zip(*found, strict=True), line, marker="o", ms=4, color=colour)
    handles = [Line2D([], [], color="black", linestyle=line) for line in lines.values()]
    axes.legend(handles, [f"{steps} supervision steps" for steps in lines], frameon=False)
    axes.set(xlabel="model FLOPs a puzzle", ylabel="share solved", xscale="log")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def _figure(
    height: float, runs: Mapping[str, Any] = MappingProxyType({}), shape=(1, 1), **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes `shape`; a legend above tells runs by colour, where there are several.

    The legend has handles of its own, because matplotlib leaves out labels that begin with an
    underscore, as names of folders may.
    """
    lines = -(-len(runs) // 3) if len(runs) > 1 else 0
    figure = Figure((WIDTH, height + 0.22 * lines), layout="constrained", facecolor="white")
    all_axes = figure.subplots(*shape, squeeze=False, **options)
    for axes in all_axes.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    if lines:
        handles = [Line2D([], [], color=colour, lw=2.5) for _, colour in _coloured(runs)]
        names = [f"\u200b{name}" for name in _texts(runs)]
        figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    return figure, all_axes


def _coloured(runs: Mapping[str, Any]) -> Any:
    return zip(runs.items(), itertools.cycle(COLOURS), strict=False)


def _texts(names: Iterable[str]) -> list[str]:
    """Names as matplotlib shows them as they are, cut in the middle if they are long."""
    short = (name if len(name) <= 40 else f"{name[:18]}…{name[-20:]}" for name in names)
    return [name.replace("\\", "\\\\").replace("$", r"\$") for name in short]


def _by_step(axes: Axes) -> None:
    axes.set_xlabel("supervision step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _span(group: Mapping[str, float]) -> str:
    low, high = (f"{group[end]:,.4g}" for end in ("low", "high"))
    return low if low == high else f"{low} to {high}"
