"""Pictures of training and of predictions: from plain numbers to matplotlib figures.

Each function takes a mapping from the names of runs to numbers, and compares the runs in one
figure. Models and files are left to `run_report`. Pictures of gradients are in `gradient_pictures`.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter, StrMethodFormatter

from cgar_jax.evaluation.rollout_accuracy import CHOICES
from cgar_jax.reporting.estimates import Estimate, of_shares
from cgar_jax.reporting.figures import (
    GRAY,
    as_labels,
    by_supervision_step,
    colored,
    legend_outside,
    line_styles,
    new_figure,
    percent_axis,
    plot_with_band,
)
from cgar_jax.reporting.learning_curves import LearningCurve, TrainingSignals

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
        plot_with_band(accuracy, curve.validated_steps, curve.accuracies, style)
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
    accuracy.set(ylabel="exact accuracy\n(validation)")
    percent_axis(accuracy.yaxis, _accuracies(runs))
    loss.set(ylabel="training loss", yscale="log")
    return figure


def accuracy_by_flops(runs: Mapping[str, LearningCurve]) -> Figure:
    """Draws validation accuracy against the model FLOPs that training spent until then.

    Args:
      runs: learning curves by name of the run.
    """
    figure, ((axes,),) = new_figure(3.6, runs)
    for curve, style in line_styles(runs):
        plot_with_band(axes, curve.validated_flops, curve.accuracies, style)
    axes.set(xlabel="model FLOPs of training", ylabel="exact accuracy (validation)")
    axes.set(xlim=(0, None))
    percent_axis(axes.yaxis, _accuracies(runs))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter())
    return figure


def training_signals(runs: Mapping[str, TrainingSignals]) -> Figure:
    """Draws learning rate, gradient norm, halting accuracy and speed by optimizer step.

    Args:
      runs: signals by name of the run.
    """
    halting = [signals.halting_accuracies for signals in runs.values()]
    labels = {
        "learning_rates": "learning rate",
        "gradient_norms": "gradient norm",
        "speeds": "examples/s",
        "halting_accuracies": "halting accuracy\n(training)",
    }
    if not any(signals.has_halting for signals in runs.values()):
        del labels["halting_accuracies"]
    figure, grid = new_figure(1.6 * len(labels), runs, (len(labels), 1), sharex=True)
    axes_of = dict(zip(labels, grid.flat, strict=True))
    for signals, style in line_styles(runs):
        for name, axes in axes_of.items():
            axes.plot(signals.steps, getattr(signals, name), color=style["color"], lw=style["lw"])
            axes.set(ylabel=labels[name])
    axes_of["learning_rates"].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes_of["gradient_norms"].set_ylim(bottom=0)
    axes_of["speeds"].set_ylim(bottom=0)
    if "halting_accuracies" in axes_of:
        percent_axis(axes_of["halting_accuracies"].yaxis, halting)
    grid[-1, 0].set(xlabel="optimizer step")
    figure.align_ylabels()
    return figure


def accuracy_by_step(runs: Mapping[str, tuple[Estimate, Estimate]]) -> Figure:
    """Draws exact and cell accuracy after each supervision step.

    Args:
      runs: exact and cell accuracies, `[steps]` each, by name of the run.
    """
    figure, grid = new_figure(4.6, runs, (2, 1), sharex=True)
    for both, style in line_styles(runs):
        for axes, estimate in zip(grid.flat, both, strict=True):
            plot_with_band(axes, range(1, len(estimate.values) + 1), estimate, style)
    for index, label in enumerate(("exact accuracy", "cell accuracy")):
        axes = grid[index, 0]
        axes.set(ylabel=label)
        percent_axis(axes.yaxis, [each for both in runs.values() for each in both[index]])
    by_supervision_step(axes)
    figure.align_ylabels()
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
            shown = [f"{count:,}" if count else "" for count in counts]
            axes.bar_label(bars, shown, fontsize=9, rotation=0 if longest <= 10 else 90, padding=2)
    every = -(-longest // 10)
    steps = [*range(1, longest - every + 1, every), longest]
    axes.set_xticks(steps, [*map(str, steps[:-1]), "never"])
    axes.set(xlabel="supervision step at which the model first halts", ylabel="share of puzzles")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(y=0.15)
    axes.grid(axis="x", visible=False)
    return figure


def accuracy_by_difficulty(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draws exact accuracy in groups from easy to hard, with separate axes for each run.

    Args:
      runs: groups of `cgar_jax.evaluation.accuracy_by_difficulty` by name of the run; runs on
        different puzzles have different groups.
    """
    most = max(len(groups) for groups in runs.values())
    figure, grid = new_figure(len(runs) * (1.1 + 0.27 * most), shape=(len(runs), 1))
    for axes, ((name, groups), color) in zip(grid.flat, colored(runs), strict=False):
        accuracies = [group["exact_accuracy"] for group in groups]
        sizes = [group["num_examples"] for group in groups]
        right = [round(share * num) for share, num in zip(accuracies, sizes, strict=True)]
        _, low, high = of_shares(right, sizes)
        axes.barh(range(len(groups)), accuracies, 0.75, color=color)
        whiskers = {"color": GRAY, "lw": 1.2, "capstyle": "butt"}
        axes.hlines(range(len(groups)), low, high, **whiskers)
        for place, (end, share, num) in enumerate(zip(high, accuracies, sizes, strict=True)):
            axes.text(end + 0.02, place, f"{share:.0%} of {num:,}", va="center", fontsize=9)
        axes.set_yticks(range(len(groups)), [span(group) for group in groups])
        axes.set_ylim(most - 0.5, -0.5)  # Easy groups on top, equally thick bars in all axes.
        axes.set(xlim=(0, 1.45), xlabel="exact accuracy", ylabel="difficulty")
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
    costs = dict.fromkeys(CHOICES, "flops")
    costs |= {"first_halting": "flops_until_halted", "verified": "flops_until_verified"}
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


def _accuracies(runs: Mapping[str, LearningCurve]) -> Iterator[np.ndarray]:
    for curve in runs.values():
        yield from curve.accuracies


def _shades_of_depths(curves: Iterable[LearningCurve]) -> dict[str, str]:
    """Returns the color of each depth: the same in all runs, and darker for later stages."""
    longest_first = sorted(curves, key=lambda curve: -len(curve.stages))
    depths = dict.fromkeys(depth for curve in longest_first for depth, _, _ in curve.stages)
    return dict(zip(depths, itertools.cycle(_STAGES), strict=False))


def span(group: Mapping[str, float]) -> str:
    """Returns the label of a group of difficulties.

    Args:
      group: the group, with its `low` and `high` difficulty.
    """
    low, high = (f"{group[end]:,.4g}" for end in ("low", "high"))
    if "nan" in (low, high):
        return "unknown"
    return low if low == high else f"{low} to {high}"
