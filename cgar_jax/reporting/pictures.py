"""Pictures of training and of predictions: from plain numbers to matplotlib figures.

Each function takes a mapping from the names of runs to numbers, and compares the runs in one
figure. Models and files are left to `run_report`. Pictures of gradients are in `gradient_pictures`.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, PercentFormatter

from cgar_jax.reporting.figures import (
    as_labels,
    by_supervision_step,
    colored,
    legend_outside,
    line_styles,
    new_figure,
)
from cgar_jax.reporting.learning_curves import LearningCurve

_LINES = ("-", "--", ":", "-.")
_STAGES = ("#EDF2F7", "#D3DEE9", "#B4C6D8", "#94ADC6")  # later stages are darker


def learning_curves(runs: Mapping[str, LearningCurve]) -> Figure:
    """Draws training loss and validation accuracy by optimizer step, and the depth curriculum.

    Args:
      runs: learning curves by name of the run.
    """
    heights = [2.4, 2.4, 0.28 * len(runs)]
    figure, grid = new_figure(1 + sum(heights), runs, (3, 1), sharex=True, height_ratios=heights)
    accuracy, loss, stages = grid.flat
    for curve, style in line_styles(runs):
        accuracy.plot(curve.validated_steps, curve.accuracies, "o-", **style)
        loss.plot(curve.steps, curve.losses, color=style["color"], lw=1.2)
        for _, first, _ in curve.stages[1:]:
            for axes in (accuracy, loss):
                axes.axvline(first, color=style["color"], lw=0.8, ls=":")
    shades = _shades_of_depths(runs.values())
    for row, curve in enumerate(runs.values()):
        for depth, first, end in curve.stages:
            stages.barh(row, end - first, 0.86, first, color=shades[depth])
            stages.text((first + end) / 2, row, depth, ha="center", va="center", fontsize=8)
    stages.set_yticks(range(len(runs)), as_labels(runs), fontsize=8)
    stages.invert_yaxis()
    stages.set(xlabel="optimizer step (bars: depth (n, T) of each stage)")
    stages.spines["left"].set_visible(False)
    stages.tick_params(left=False)
    stages.grid(False)
    accuracy.set(ylabel="exact accuracy, validation", ylim=(-0.03, 1.03))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    loss.set(ylabel="training loss", yscale="log")
    return figure


def accuracy_by_flops(runs: Mapping[str, LearningCurve]) -> Figure:
    """Draws validation accuracy against the model FLOPs that training spent until then.

    Args:
      runs: learning curves by name of the run.
    """
    figure, ((axes,),) = new_figure(3.6, runs)
    for curve, style in line_styles(runs):
        axes.plot(curve.validated_flops, curve.accuracies, "o-", **style)
    axes.set(xlabel="model FLOPs of training", ylabel="exact accuracy, validation")
    axes.set(ylim=(-0.03, 1.03), xlim=(0, None))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def accuracy_by_step(runs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draws exact and cell accuracy after each supervision step.

    Args:
      runs: exact and cell accuracies, `[steps]` each, by name of the run.
    """
    figure, (pair,) = new_figure(3.4, runs, (1, 2))
    for both, style in line_styles(runs):
        for axes, values in zip(pair, both, strict=True):
            axes.plot(range(1, len(values) + 1), values, "o-", **style)
    for axes, label in zip(pair, ("exact accuracy", "cell accuracy"), strict=True):
        axes.set(ylabel=label)
        by_supervision_step(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def halting_histogram(runs: Mapping[str, Sequence[int]]) -> Figure:
    """Draws the shares of puzzles by the supervision step at which the model first halts.

    Args:
      runs: numbers of puzzles `[steps + 1]` by name of the run; the last one counts puzzles at
        which the model never halts.
    """
    figure, ((axes,),) = new_figure(3.4, runs)
    longest = max(len(counts) for counts in runs.values())
    width = 0.8 / len(runs)
    for place, ((_, counts), color) in enumerate(colored(runs)):
        # "Never" comes after the last step of the longest run, for all runs.
        positions = np.append(np.arange(1, len(counts)), longest)
        positions = positions + (place - (len(runs) - 1) / 2) * width
        bars = axes.bar(positions, np.asarray(counts) / max(sum(counts), 1), width, color=color)
        if len(runs) == 1:
            axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8)
    axes.set_xticks(range(1, longest + 1), [*map(str, range(1, longest)), "never"])
    axes.set(xlabel="supervision step at which the model first halts", ylabel="share of puzzles")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(y=0.1)
    axes.grid(axis="x", visible=False)
    return figure


def accuracy_by_difficulty(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draws exact accuracy in groups from easy to hard, with separate axes for each run.

    Args:
      runs: groups of `cgar_jax.evaluation.accuracy_by_difficulty` by name of the run; runs on
        different puzzles have different groups.
    """
    most = max(len(groups) for groups in runs.values())
    rows = -(-len(runs) // 2)
    shape = (rows, min(len(runs), 2))
    figure, grid = new_figure(rows * (1.1 + 0.27 * most), shape=shape)
    for axes in grid.flat[len(runs) :]:
        axes.set_visible(False)
    for axes, ((name, groups), color) in zip(grid.flat, colored(runs), strict=False):
        accuracies = [group["exact_accuracy"] for group in groups]
        bars = axes.barh(range(len(groups)), accuracies, 0.75, color=color)
        shown = [f" {g['exact_accuracy']:.0%} of {g['num_examples']:,}" for g in groups]
        axes.bar_label(bars, shown, fontsize=8)
        axes.set_yticks(range(len(groups)), [_span(group) for group in groups])
        axes.set_ylim(most - 0.5, -0.5)  # Easy groups on top, equally thick bars in all axes.
        axes.set(xlim=(0, 1.35), xlabel="exact accuracy", ylabel="difficulty")
        axes.set_xticks((0, 0.5, 1), ("0%", "50%", "100%"))
        axes.grid(axis="y", visible=False)
        if len(runs) > 1:
            axes.set_title(*as_labels([name]), fontsize=9)
    return figure


def accuracy_by_rollouts(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Draws the share of solved puzzles against FLOPs, for each way to choose an answer.

    Args:
      rows: rows of the table of `cgar rollouts`.
    """
    costs = dict.fromkeys(("pass", "halting", "majority"), "flops")
    costs["verified"] = "flops_until_verified"
    figure, ((axes,),) = new_figure(3.6, costs)
    lines = dict(zip(sorted({row["steps"] for row in rows}), itertools.cycle(_LINES), strict=False))
    for (way, cost), color in colored(costs):
        for steps, line in lines.items():
            found = [(row[cost], row[way]) for row in rows if row["steps"] == steps]
            axes.plot(*zip(*found, strict=True), line, marker="o", ms=4, color=color)
    handles = [
        Line2D([], [], color="black", linestyle=line, label=f"{steps} supervision steps")
        for steps, line in lines.items()
    ]
    legend_outside(figure, handles, side="lower")
    axes.set(xlabel="model FLOPs per puzzle", ylabel="share solved", xscale="log")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def _shades_of_depths(curves: Iterable[LearningCurve]) -> dict[str, str]:
    """Returns the color of each depth: the same in all runs, and darker for later stages."""
    longest_first = sorted(curves, key=lambda curve: -len(curve.stages))
    depths = dict.fromkeys(depth for curve in longest_first for depth, _, _ in curve.stages)
    return dict(zip(depths, itertools.cycle(_STAGES), strict=False))


def _span(group: Mapping[str, float]) -> str:
    low, high = (f"{group[end]:,.4g}" for end in ("low", "high"))
    return low if low == high else f"{low} to {high}"
