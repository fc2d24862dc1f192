"""Rows of results are readable even where a number is unknown."""

import math

import pytest

from cgar_jax.reporting.result_table import MISSING, result_rows

RESULT = {
    "num_examples": 4,
    "exact_accuracy": 0.5,
    "exact_accuracy_by_step": [0.25, 0.5],
    "cell_accuracy": 0.75,
    "halting_accuracy": 1.0,
    "mean_halting_step": 1.5,
}


@pytest.mark.parametrize("unknown", [math.nan, None])
def test_an_unknown_number_is_a_dash_and_never_nan(unknown):
    names = ("cell_accuracy", "halting_accuracy", "mean_halting_step")
    rows = result_rows(RESULT | dict.fromkeys(names, unknown))
    assert rows["halting accuracy"] == MISSING
    assert "nan" not in str(rows).lower()


def test_the_commit_and_the_date_are_shown():
    origin = {"version": "1.0", "jax_version": "2.0", "commit": "abc", "machine": "2 cores"}
    rows = result_rows(RESULT | origin | {"finished": "2026-01-02T03:04:05+00:00"})
    assert rows["finished"] == "2026-01-02 03:04:05 UTC"
    assert rows["commit"] == "abc"
