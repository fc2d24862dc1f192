"""Tables that compare runs: their results side by side, and the settings that differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from cgar_jax import runs as run_folders
from cgar_jax.reporting.gradients import Variance
from cgar_jax.reporting.reported_model import ReportedModel
from cgar_jax.reporting.result_table import result_rows

MISSING = "–"


class Run(NamedTuple):
    """A run, or an exported model, to report on.

    Attributes:
      name: name of the run in the report, different for all runs.
      model: its model.
      metrics: entries of its metrics log; empty if it has none.
      result: its result, or None while it is still training.
    """

    name: str
    model: ReportedModel
    metrics: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any] | None


def result_comparison(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the table of results, with a column for each run.

    Args:
      runs: the runs.
    """
    columns = [result_rows(run.result) if run.result else {} for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    checkpoints = [
        f"step {run.model.step:,} of {run.model.experiment.config.training.steps:,}" for run in runs
    ]
    rows = [["checkpoint", *checkpoints]]
    rows += [[name, *(column.get(name, MISSING) for column in columns)] for name in names]
    return ["quantity", *(run.name for run in runs)], rows


def differing_settings(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table of the settings that are not the same in all runs.

    Args:
      runs: the runs.
    """
    flat = []
    for run in runs:
        settings = run_folders.settings(run.model.experiment.config, run.model.experiment.task)
        flat.append(flatten_dict(settings, sep="."))
    rows = []
    for key in sorted({key for settings in flat for key in settings}):
        values = [json.dumps(each[key]) if key in each else MISSING for each in flat]
        if len(set(values)) > 1:
            rows.append([key, *values])
    return ["setting", *(run.name for run in runs)], rows


def variance_table(
    variances: Mapping[str, tuple[Variance, Variance]],
) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table of gradient variances.

    Args:
      variances: the variances with uniform weights and with HSW, by label of the row.
    """
    header = ["measured on"]
    for kind in ("variance", "relative variance"):
        header += [f"{kind}, uniform weights", f"{kind}, HSW", "change"]
    rows = [
        [label.replace("\n", ", "), *_cells(uniform, hierarchical)]
        for label, (uniform, hierarchical) in variances.items()
    ]
    return header, rows


def _cells(uniform: Variance, hierarchical: Variance) -> Iterator[str]:
    for before, after in zip(uniform, hierarchical, strict=True):
        ratio = after / before
        change = f"{ratio - 1:+.0%}" if np.isfinite(ratio) else "unknown"
        yield from (_number(before), _number(after), change)


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "unknown"
