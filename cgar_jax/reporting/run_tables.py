"""Tables that compare runs: their results side by side, and the settings that differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from cgar_jax import runs as run_folders
from cgar_jax.reporting.reported_model import ReportedModel
from cgar_jax.reporting.result_table import MISSING, result_rows


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
    rows: Mapping[str, Mapping[str, np.ndarray]],
) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table of the changes of the gradient's variance by HSW.

    Args:
      rows: changes from `gradients.changes_by_hsw`, by label of the row.
    """
    header = ["measured on", "change of the variance", "change of the relative variance"]
    return header, [
        [label.replace("\n", ", "), *map(_with_range, (each["absolute"], each["relative"]))]
        for label, each in rows.items()
    ]


def _with_range(changes: np.ndarray) -> str:
    if not np.isfinite(changes).all():
        return "unknown: the mean is lost in noise"
    if len(changes) == 1:
        return f"{changes[0]:+.0%}"
    return f"{changes.mean():+.0%} ({changes.min():+.0%} to {changes.max():+.0%})"
