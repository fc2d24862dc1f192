"""Pictures of searches, and the sections of a report that show them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from cgar_jax.reporting.estimates import Estimate
from cgar_jax.reporting.figures import (
    as_labels,
    colored,
    legend_outside,
    line_styles,
    new_figure,
    percent_axis,
    plot_with_band,
)
from cgar_jax.reporting.pictures import span
from cgar_jax.reporting.search_measurements import SearchMeasurements
from cgar_jax.reporting.section import Section

_SEARCHES = {"network": "-", "singles": "--"}  # lines of the search with each of them


def accuracy_by_loop(runs: Mapping[str, Estimate]) -> Figure:
    """Draws the share of puzzles that are solved without search by each loop.

    Args:
      runs: shares `[loops]` by name of the run.
    """
    figure, ((axes,),) = new_figure(3.2, runs)
    for shares, style in line_styles(runs):
        plot_with_band(axes, range(1, len(shares.values) + 1), shares, style | {"ms": 0})
    axes.set(xlabel="loops of one pass", ylabel="solved without search", xscale="log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    percent_axis(axes.yaxis, [shares.values for shares in runs.values()])
    return figure


def solved_by_passes(runs: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draws the share of puzzles that are solved within a number of passes.

    Args:
      runs: sorted numbers of passes, infinite for unsolved puzzles, for "network" and "singles", by
        name of the run.
    """
    figure, ((axes,),) = new_figure(3.4, runs)
    most = max(_last(passes) for searches in runs.values() for passes in searches.values())
    for (_, searches), color in colored(runs):
        for search, line in _SEARCHES.items():
            passes = np.asarray(searches[search])
            shares = np.arange(1, len(passes) + 1) / len(passes)
            shown = np.isfinite(passes)
            # The line goes on to the end of the longest search.
            places, shares = np.append(passes[shown], most), np.append(shares[shown], shown.mean())
            axes.step(places, shares, line, where="post", color=color, lw=1.4)
    handles = [
        Line2D([], [], color="black", linestyle=line, label=search)
        for search, line in _SEARCHES.items()
    ]
    legend_outside(figure, handles, side="lower")
    axes.set(xlabel="passes", ylabel="solved with proof", xscale="log", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def _last(passes: np.ndarray) -> float:
    return np.max(passes, where=np.isfinite(passes), initial=2)


def passes_by_difficulty(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draws the median number of passes in groups from easy to hard, with axes for each run.

    Args:
      runs: groups of `cgar_jax.evaluation.candidate_evaluator.by_difficulty` by name of the run.
    """
    most = max(len(groups) for groups in runs.values())
    figure, grid = new_figure(len(runs) * (1.2 + 0.3 * most), {}, (len(runs), 1))
    for axes, (name, groups) in zip(grid.flat, runs.items(), strict=True):
        places = np.arange(len(groups))
        bars = []
        for (search, suffix), color in colored({"network": "", "singles": "_control"}):
            passes = [group[f"passes_median{suffix}"] for group in groups]
            shift = -0.2 if search == "network" else 0.2
            bars.append(axes.barh(places + shift, passes, 0.38, color=color, label=search))
            axes.bar_label(bars[-1], [f"{each:,.0f}" for each in passes], fontsize=8, padding=2)
        axes.set_yticks(places, [span(group) for group in groups])
        axes.set_ylim(most - 0.5, -0.5)
        axes.set(xlabel="median passes", ylabel="difficulty")
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
        if len(runs) > 1:
            axes.set_title(*as_labels([name]), fontsize=9)
    legend_outside(figure, bars)
    return figure


def search_sections(measured: Mapping[str, SearchMeasurements]) -> Iterator[Section]:
    """Yields the sections of a report on models that eliminate candidates.

    Args:
      measured: measurements by name of the run; at least one.
    """
    names = ", ".join(measured)
    sizes = ", ".join(f"{each.num_puzzles:,} of {name}" for name, each in measured.items())
    sample = f"Test puzzles, drawn at random: {sizes}."
    yield Section(
        "Solved without search",
        "accuracy_by_loop",
        accuracy_by_loop({name: each.accuracy_by_loop() for name, each in measured.items()}),
        f"{sample} Share of puzzles for which the most probable symbols are the answer by some "
        "loop of a single pass, without any guess. Bands are 95% Wilson intervals.",
        f"Line chart of the share solved without search by loops: {names}",
    )
    yield Section(
        "Solved with proof",
        "solved_by_passes",
        solved_by_passes({name: each.passes() for name, each in measured.items()}),
        f"{sample} Every answer is checked by the rules. Dashed: the same search with naked and "
        "hidden singles in place of the network. The difference is the contribution of the "
        "network.",
        f"Line chart of the share solved with proof by passes: {names}",
    )
    yield Section(
        "Passes by difficulty",
        "passes_by_difficulty",
        passes_by_difficulty(
            {name: each.search_by_difficulty() for name, each in measured.items()}
        ),
        f"{sample} Groups of about equal size, from easy to hard. Difficulty is the rating in the "
        "data: guesses of an exact solver. Puzzles that are not solved count with the passes "
        "spent on them.",
        f"Bar chart of median passes from easy to hard puzzles: {names}",
    )
