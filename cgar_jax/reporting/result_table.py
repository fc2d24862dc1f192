"""The results of a run in words: rows for the terminal, the report page and the model card."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

MISSING = "–"


def result_table(result: Mapping[str, Any], title: str) -> Table:
    """Returns the results of a run as a table for the terminal.

    Args:
      result: results, as for `result_rows`.
      title: title of the table.
    """
    table = Table("", "", title=title, show_header=False)
    for name, value in result_rows(result).items():
        table.add_row(name, value)
    return table


def result_rows(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the results of a run in words.

    Args:
      result: scores of an `Evaluator`, or the content of a `result.json`; rows whose numbers are
        missing are left out.

    Returns:
      Values by name; the names of details begin with spaces.
    """
    scores = _search_rows if "accuracy_without_search" in result else _supervision_rows
    rows = {"puzzles": f"{result['num_examples']:,}", **scores(result)}
    if "train_seconds" in result:
        rows |= {
            "training": f"{result['steps']:,} steps in {result['train_seconds']:.1f} s",
            "waiting for compilation": f"{result['compile_seconds']:.1f} s",
            "model FLOPs of training": f"{result['model_flops']:.3g}",
        }
    if "device" in result:
        rows["device"] = result["device"]
    if "finished" in result:
        rows["host"] = result["machine"]
        rows["finished"] = result["finished"].replace("T", " ").replace("+00:00", " UTC")
        rows["cgar_jax"] = f"{result['version']}, JAX {result['jax_version']}"
        rows["commit"] = result["commit"] or MISSING
    return rows


def _known(value: float | None, form: str) -> str:
    """Formats a number, or a dash if it is unknown: NaN, or null in JSON."""
    return MISSING if value is None or math.isnan(value) else format(value, form)


def _percent(value: float | None, decimals: int = 1) -> str:
    return _known(value, f".{decimals}%")


def _interval(result: Mapping[str, Any]) -> str:
    """Returns the interval of the exact accuracy; results of earlier versions lack it."""
    if "exact_accuracy_interval" not in result:
        return ""
    low, high = result["exact_accuracy_interval"]
    return f" (95% interval {low:.1%} to {high:.1%})"


def _supervision_rows(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the scores of a model that was trained by deep supervision."""
    by_step = result["exact_accuracy_by_step"]
    shown = sorted({1, 2, 4, 8, 16, len(by_step)} & set(range(1, len(by_step) + 1)))
    return {
        "exact accuracy": _percent(result["exact_accuracy"], 2) + _interval(result),
        "  by supervision step": "  ".join(
            f"{step}: {_percent(by_step[step - 1])}" for step in shown
        ),
        **_details(result),
        "cell accuracy": _percent(result["cell_accuracy"], 2),
        "halting accuracy": _percent(result["halting_accuracy"], 2),
        "mean halting step": f"{_known(result['mean_halting_step'], '.2f')} of {len(by_step)}",
    }


def _search_rows(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the scores of a candidate model."""
    rows = {
        "accuracy without search": _percent(result["exact_accuracy"], 2) + _interval(result),
        "  wrong candidates removed": _percent(result["removed_fraction"], 1),
        "  puzzles that lose a right one": _percent(result["unsound_fraction"], 1),
    }
    if "verified_fraction" in result:
        low, high = result["verified_fraction_interval"]
        rows |= {
            "solved with proof": f"{_percent(result['verified_fraction'], 2)} "
            f"({_percent(low)} to {_percent(high)}) of {result['searched_puzzles']:,}",
            "  wrong answers": _percent(result["wrong_fraction"], 2),
            "  passes per puzzle": f"median {result['passes_median']:,.0f}, "
            f"mean {result['passes_mean']:,.1f}",
            "  singles in place of the network": f"median {result['passes_median_control']:,.0f}, "
            f"mean {result['passes_mean_control']:,.1f}, "
            f"{_percent(result['verified_fraction_control'], 1)} solved",
        }
    return rows


def _details(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns rows that add to the exact accuracy; none if every detail agrees with it."""
    rows = {}
    accepted = result.get("accepted_accuracy", result["exact_accuracy"])
    if accepted != result["exact_accuracy"]:
        rows["  by the rules of the puzzle"] = _percent(accepted, 2)
    groups = result.get("exact_accuracy_by_difficulty", [])
    if len(groups) > 1:
        rows["  from easy to hard"] = "  ".join(_percent(g["exact_accuracy"], 0) for g in groups)
    if "pass_at" in result:
        rows["  on training pairs"] = _percent(result["train_exact_accuracy"], 2)
        shares = [f"{k}: {_percent(result['pass_at'][k])}" for k in ("1", "2", "10", "1000")]
        rows["solved within k answers"] = "  ".join(shares)
        if "left_out_puzzles" in result:
            num = len(result["left_out_puzzles"])
            rows["left out"] = f"{num:,} test puzzle{'s' if num > 1 else ''} without an embedding"
        rows["votes"] = f"{result['num_votes']:,} on {result['num_puzzles']:,} puzzles"
    return rows
