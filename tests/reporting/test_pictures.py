"""Pictures, read back from what matplotlib has drawn."""

import io

import numpy as np
import pytest

from cgar_jax.reporting import pictures
from cgar_jax.reporting.gradients import Variance
from cgar_jax.reporting.pictures import LearningCurve

AWKWARD = ("_hidden", "$x_1$ <b>", "a" * 80)  # names that matplotlib would hide or typeset

CURVE = LearningCurve(
    [10, 20, 30, 40],
    [2.0, np.nan, 1.0, 0.5],
    [20, 40],
    [0.1, 0.9],
    [("(1, 1)", 0, 15), ("(2, 2)", 15, 40)],
)
GROUPS = [{"low": 0, "high": 1, "num_examples": 9, "exact_accuracy": 0.5}]
DRAW = {
    pictures.learning_curves: CURVE,
    pictures.accuracy_by_step: ([0.1, 0.2], [0.3, 0.4]),
    pictures.halting_histogram: [5, 3, 2],
    pictures.accuracy_by_difficulty: GROUPS,
    pictures.loss_weights: {"answer": [0.6, 0.4], "halt": [0.6, 0.4]},
    pictures.gradient_norms: [2.0, 1.0],
    pictures.gradient_variances: (Variance(2.0, 4.0), Variance(1.0, np.nan)),
    pictures.accuracy_by_flops: ([1e9, 2e9], [0.1, 0.9]),
}


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("names", [("one",), AWKWARD], ids=["one run", "awkward names"])
def test_every_picture_can_be_drawn(draw, names):
    file = io.BytesIO()
    draw(dict.fromkeys(names, DRAW[draw])).savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_stages_are_marked_in_learning_curves():
    figure = pictures.learning_curves({"run": CURVE})
    assert texts(figure)[:2] == ["(1, 1)", "(2, 2)"]
    accuracy, loss, _ = figure.axes
    for axes in (accuracy, loss):
        assert 15 in [line.get_xdata()[0] for line in axes.lines]


def test_halting_shares_of_each_run_sum_to_one():
    figure = pictures.halting_histogram({"short": [5, 3, 2], "long": [1, 1, 1, 1, 4]})
    bars = figure.axes[0].containers
    assert [sum(bar.get_height() for bar in run) for run in bars] == pytest.approx([1, 1])
    never = [round(run[-1].get_x() + run[-1].get_width() / 2) for run in bars]
    assert never == [5, 5]


def test_the_change_of_variance_is_told():
    figure = pictures.gradient_variances({"run": (Variance(2.0, 4.0), Variance(1.0, np.nan))})
    assert texts(figure) == [" -50%", " the mean is lost in the noise"]


def test_the_legend_has_each_run_even_one_whose_name_begins_with_an_underscore():
    figure = pictures.gradient_norms(dict.fromkeys(AWKWARD, (1.0, 2.0)))
    (legend,) = figure.legends
    assert len([text for text in legend.get_texts() if text.get_visible()]) == len(AWKWARD)
    assert legend.get_texts()[0].get_text().endswith("_hidden")
