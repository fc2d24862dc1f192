"""The results of a run in words: rows for the terminal, the report page and the model card."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


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
    by_step = result["exact_accuracy_by_step"]
    shown = sorted({1, 2, 4, 8, 16, len(by_step)} & set(range(1, len(by_step) + 1)))
    rows = {
        "puzzles": f"{result['num_examples']:,}",
        "exact accuracy": f"{result['exact_accuracy']:.2%}{_interval(result)}",
        "  by supervision step": "  ".join(f"{step}: {by_step[step - 1]:.1%}" for step in shown),
        **_details(result),
        "cell accuracy": f"{result['cell_accuracy']:.2%}",
        "halting accuracy": f"{result['halting_accuracy']:.2%}",
        "mean halting step": f"{result['mean_halting_step']:.2f} of {len(by_step)}",
    }
    if "train_seconds" in result:
        rows |= {
            "training": f"{result['steps']:,} steps in {result['train_seconds']:.1f} s",
            "waiting for compilation": f"{result['compile_seconds']:.1f} s",
            "model FLOPs of training": f"{result['model_flops']:.3g}",
        }
    if "device" in result:
        rows["device"] = result["device"]
    return rows


def _interval(result: Mapping[str, Any]) -> str:
    """Returns the interval of the exact accuracy; results of earlier versions lack it."""
    if "exact_accuracy_interval" not in result:
        return ""
    low, high = result["exact_accuracy_interval"]
    return f" (95% interval {low:.1%} to {high:.1%})"


def _details(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns rows that add to the exact accuracy; none if every detail agrees with it."""
    rows = {}
    accepted = result.get("accepted_accuracy", result["exact_accuracy"])
    if accepted != result["exact_accuracy"]:
        rows["  by the rules of the puzzle"] = f"{accepted:.2%}"
    groups = result.get("exact_accuracy_by_difficulty", [])
    if len(groups) > 1:
        rows["  from easy to hard"] = "  ".join(f"{g['exact_accuracy']:.0%}" for g in groups)
    if "pass_at" in result:
        rows["  on training pairs"] = f"{result['train_exact_accuracy']:.2%}"
        shares = [f"{k}: {result['pass_at'][k]:.1%}" for k in ("1", "2", "10", "1000")]
        rows["solved within k answers"] = "  ".join(shares)
        if "left_out_puzzles" in result:
            num = len(result["left_out_puzzles"])
            rows["left out"] = f"{num:,} test puzzle{'s' if num > 1 else ''} without an embedding"
        rows["votes"] = f"{result['num_votes']:,} on {result['num_puzzles']:,} puzzles"
    return rows
