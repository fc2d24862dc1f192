"""The common look of all pictures: size, colors, legends, axes and labels.

The pictures themselves are in `pictures` and `gradient_pictures`. No figure is registered with
pyplot: save it with `figure.savefig`, or let a notebook show it.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from cgar_jax.reporting.estimates import Estimate

# The palette of Okabe and Ito (2008), which color-blind people can tell apart, and gray.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
GRAY = "#555555"
WIDTH = 5.0  # inches; letters stay readable if a phone shows a picture at two thirds of it
_LONGEST_NAME = 40  # characters


def new_figure(
    height: float,
    runs: Mapping[str, Any] = MappingProxyType({}),
    shape: tuple[int, int] = (1, 1),
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    """Creates a figure with a legend above it, if several runs are compared.

    Args:
      height: height of the axes in inches.
      runs: mapping whose keys are the names of the runs.
      shape: rows and columns of axes.
      **options: options of `Figure.subplots`.

    Returns:
      The figure, and its axes as an array of this shape.
    """
    lines = -(-len(runs) // _columns(runs)) if len(runs) > 1 else 0
    figure = Figure((WIDTH, height + 0.22 * lines), layout="constrained", facecolor="white")
    all_axes = figure.subplots(*shape, squeeze=False, **options)
    for axes in all_axes.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    if lines:
        handles = [Line2D([], [], color=color, lw=2.5) for _, color in colored(runs)]
        # The zero-width space keeps names that begin with an underscore, as folders may:
        # matplotlib would leave them out of the legend.
        legend_outside(figure, handles, [f"\u200b{name}" for name in as_labels(runs)])
    return figure, all_axes


def legend_outside(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str] | None = None,
    side: str = "upper",
) -> None:
    """Adds a legend beside the axes, where it hides no data.

    Args:
      figure: the figure.
      handles: artists to explain.
      labels: their texts; None takes the labels of the artists.
      side: "upper" or "lower".
    """
    labels = [handle.get_label() for handle in handles] if labels is None else labels
    figure.legend(
        handles,
        labels,
        loc=f"outside {side} left",
        ncols=_columns(labels),
        frameon=False,
        fontsize=9,
    )


def _columns(labels: Iterable[str]) -> int:
    """Returns the number of columns of a legend in which no label is cut."""
    return 2 if all(len(label) <= 26 for label in labels) else 1


def colored(runs: Mapping[str, Any]) -> Iterator[tuple[tuple[str, Any], str]]:
    """Pairs the items of a mapping with colors.

    Args:
      runs: mapping whose keys are the names of the runs.
    """
    return zip(runs.items(), itertools.cycle(COLORS), strict=False)


def line_styles(runs: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Pairs the values of a mapping with options of `Axes.plot`.

    Earlier lines are thicker, so that they stay visible under later lines with the same values.

    Args:
      runs: mapping whose keys are the names of the runs.
    """
    for number, ((_, value), color) in enumerate(colored(runs)):
        extra = 1.3 * min(len(runs) - 1 - number, 3)
        yield value, {"color": color, "lw": 1.4 + extra, "ms": 4 + extra}


def as_labels(names: Iterable[str]) -> list[str]:
    """Returns names as matplotlib shows them literally; long names are cut in the middle.

    Args:
      names: names of runs, which may contain any character.
    """
    short = (name if len(name) <= _LONGEST_NAME else f"{name[:18]}…{name[-20:]}" for name in names)
    return [name.replace("\\", "\\\\").replace("$", r"\$") for name in short]


def plot_with_band(
    axes: Axes, places: Sequence[float], estimate: Estimate, style: Mapping[str, Any]
) -> None:
    """Plots estimates as dots on a line, and their intervals as a band.

    Args:
      axes: the axes to draw in.
      places: horizontal positions.
      estimate: the estimates, of the same length.
      style: options of `Axes.plot`, see `line_styles`.
    """
    band = {"color": style["color"], "alpha": 0.18, "lw": 0}
    axes.fill_between(places, estimate.low, estimate.high, **band)
    axes.plot(places, estimate.values, "o-", **style)


def percent_axis(axis: Axis, shares: Iterable[Sequence[float]]) -> None:
    """Chooses bounds and labels of an axis of percentages; no two labels are equal.

    The axis begins at 0 if any share is below one half; otherwise it shows the range of the shares.

    Args:
      axis: the axis.
      shares: everything that is drawn, as shares of 1; NaN is ignored.
    """
    known = np.concatenate([np.ravel(each) for each in shares] or [[]]).astype(float)
    known = known[np.isfinite(known)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    low = 0.0 if low < 0.5 else low
    if high - low < 0.02:  # equal shares would be drawn with a range of 0
        low, high = max(low - 0.01, 0.0), min(high + 0.01, 1.0)
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    margin = 1e-9
    ticks = ticks[(ticks >= -margin) & (ticks <= 1 + margin)]
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    pad = 0.04 * (high - low)  # whole dots at the bounds
    axis.set_view_interval(low - pad, high + pad, ignore=True)
    axis.set_major_locator(FixedLocator(ticks))
    decimals = max(0, math.ceil(-math.log10(100 * (ticks[1] - ticks[0])) - margin))
    axis.set_major_formatter(PercentFormatter(1, decimals=decimals))


def by_supervision_step(axes: Axes) -> None:
    """Labels the horizontal axis with whole supervision steps.

    Args:
      axes: the axes to label.
    """
    axes.set_xlabel("supervision step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
