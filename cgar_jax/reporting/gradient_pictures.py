"""Pictures of loss weights and gradients by supervision step.

The numbers come from `gradients`; the common look comes from `figures`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgar_jax.reporting.estimates import Estimate
from cgar_jax.reporting.figures import (
    COLORS,
    GRAY,
    as_labels,
    by_supervision_step,
    legend_outside,
    line_styles,
    new_figure,
    plot_with_band,
)

UNIFORM = "#B8B8B8"
CLAIMED_REDUCTION = 0.4  # of the variance, by HSW, according to the CGAR paper


def loss_weights(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draws the weight of each supervision step, with one line for each loss term.

    Args:
      runs: weights `[steps]` of the terms "answer" and "halt", by name of the run.
    """
    figure, ((axes,),) = new_figure(3.4, runs)
    styles = {"answer": "o-", "halt": "x--"}
    for terms, style in line_styles(runs):
        for term, weights in terms.items():
            # Crosses larger than the dots stay visible where both losses have the same weight.
            size = style["ms"] + 4 * (term == "halt")
            axes.plot(range(1, len(weights) + 1), weights, styles[term], **style | {"ms": size})
    axes.set(ylabel="loss weight")
    axes.set_ylim(bottom=0)
    by_supervision_step(axes)
    names = {"answer": "answer loss", "halt": "halting loss"}
    handles = [
        Line2D([], [], color=GRAY, marker=style[0], ls=style[1:], ms=4, label=names[term])
        for term, style in styles.items()
    ]
    legend_outside(figure, handles, side="lower")
    return figure


def gradient_norms(runs: Mapping[str, Estimate]) -> Figure:
    """Draws the gradient norm of each supervision step's loss.

    Args:
      runs: norms `[steps]` by name, with their ranges.
    """
    figure, ((axes,),) = new_figure(3.4, runs)
    for norms, style in line_styles(runs):
        plot_with_band(axes, range(1, len(norms.values) + 1), norms, style)
    axes.set(ylabel="gradient norm, root mean square")
    axes.set_ylim(bottom=0)
    by_supervision_step(axes)
    return figure


def gradient_variances(rows: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draws the variance of the weighted gradient with HSW, relative to uniform weights.

    Args:
      rows: changes from `gradients.changes_by_hsw`, by label of the row.
    """
    figure, grid = new_figure(2 * (0.8 + 0.55 * len(rows)), shape=(2, 1), sharex=True)
    titles = {"absolute": "variance", "relative": "variance / squared norm of the mean"}
    for axes, (kind, title) in zip(grid.flat, titles.items(), strict=True):
        for place, changes in enumerate(rows.values()):
            ratios = 1 + changes[kind]
            known = np.isfinite(ratios).all()
            axes.barh(place - 0.19, 1, 0.36, color=UNIFORM)
            mean = ratios.mean() if known else 0
            if known:
                spread = [[mean - ratios.min()], [ratios.max() - mean]]
                axes.barh(place + 0.19, mean, 0.36, color=COLORS[0], xerr=spread, ecolor=GRAY)
            shown = f" {mean - 1:+.0%}" if known else " unknown: the mean is lost in noise"
            beside = ratios.max() if known else 0
            axes.text(beside, place + 0.19, shown, va="center", fontsize=9)
        axes.axvline(1 - CLAIMED_REDUCTION, color=COLORS[1], lw=1, ls="--")
        axes.set_title(title, fontsize=9)
        axes.margins(x=0.25)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        # Each part on a line of its own, so that long names of runs are not cut.
        parts = [label.replace(", ", ",\n").split("\n") for label in rows]
        axes.set_yticks(
            range(len(rows)), ["\n".join(as_labels(lines)) for lines in parts], fontsize=8
        )
        axes.set_ylim(len(rows) - 0.4, -0.6)
    figure.supxlabel("relative to uniform weights (= 1)", fontsize=9)
    handles = [
        Line2D([], [], color=UNIFORM, lw=6, label="uniform weights"),
        Line2D([], [], color=COLORS[0], lw=6, label="HSW, decay 0.7"),
        Line2D([], [], color=COLORS[1], lw=1, ls="--", label="claim of the paper: -40%"),
    ]
    legend_outside(figure, handles)
    return figure
