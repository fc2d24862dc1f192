"""Pictures of training and predictions, read back from what matplotlib has drawn."""

import io
import re

import numpy as np
import pytest

from cgar_jax.evaluation.rollout_accuracy import CHOICES
from cgar_jax.reporting import gradient_pictures, pictures, run_tables, search_pictures
from cgar_jax.reporting.estimates import of_means, of_shares
from cgar_jax.reporting.figures import new_figure, percent_axis
from cgar_jax.reporting.learning_curves import LearningCurve, TrainingSignals
from cgar_jax.reporting.svg import save_svg

GRIDS = {"#b0b0b0", "#ffffff"}  # grid lines, and the invisible background
AWKWARD = ("_hidden", "$x_1$ <b>", "a" * 80)  # names that matplotlib would hide or typeset

CURVE = LearningCurve(
    steps=[10, 20, 30, 40],
    losses=[2.0, np.nan, 1.0, 0.5],
    validated_steps=[20, 40],
    accuracies=of_shares([1, 9], 10),
    validated_flops=[1e9, 2e9],
    stages=[("(1, 1)", 0, 15), ("(2, 2)", 15, 40)],
)
SIGNALS = TrainingSignals([10, 20], [0.01, 0.02], [1.0, 2.0], [0.5, np.nan], [np.nan, 300.0])
SHARES = of_shares([1, 2], 10)
GROUPS = [{"low": 0, "high": 1, "num_examples": 9, "exact_accuracy": 0.5}]
VARIANCES = {"absolute": np.array([-0.6, -0.4]), "relative": np.array([0.5, np.nan])}
ROLLOUTS = [
    {"steps": steps, "rollouts": num, "flops": 1e6 * num}
    | {"flops_until_halted": 6e5 * num, "flops_until_verified": 5e5 * num}
    | dict.fromkeys(CHOICES, 0.1 * num)
    for steps in (2, 4)
    for num in (1, 4)
]
DRAW = {
    pictures.learning_curves: CURVE,
    pictures.accuracy_by_flops: CURVE,
    pictures.training_signals: SIGNALS,
    pictures.accuracy_by_step: (SHARES, SHARES),
    pictures.halting_histogram: [5, 3, 2],
    pictures.accuracy_by_difficulty: GROUPS,
    search_pictures.accuracy_by_loop: SHARES,
    search_pictures.solved_by_passes: {"network": [1, 3, np.inf], "singles": [np.inf] * 3},
    search_pictures.passes_by_difficulty: [
        {"low": n, "high": n, "passes_median": 2 * n, "passes_median_control": 3 * n}
        for n in (1, 2)
    ],
    gradient_pictures.loss_weights: {"answer": [0.6, 0.4], "halt": [0.6, 0.4]},
    gradient_pictures.gradient_norms: of_means([[2.0, 1.0], [1.0, 3.0]]),
    gradient_pictures.gradient_variances: VARIANCES,
}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def overlap(one, other):
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def assert_legends_hide_nothing(figure):
    figure.savefig(io.BytesIO())  # lays out the figure
    assert not any(axes.get_legend() for axes in figure.axes)
    boxes = [legend.get_window_extent() for legend in figure.legends]
    for axes in figure.axes:
        assert not any(overlap(box, axes.get_window_extent()) for box in boxes)


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("names", [("one",), AWKWARD], ids=["one run", "awkward names"])
def test_every_picture_can_be_drawn_and_its_legends_hide_nothing(draw, names):
    figure = draw(dict.fromkeys(names, DRAW[draw]))
    file = io.BytesIO()
    figure.savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")
    assert_legends_hide_nothing(figure)


def test_the_picture_of_rollouts_names_the_numbers_of_supervision_steps():
    figure = pictures.accuracy_by_rollouts(ROLLOUTS)
    ways, steps = ([text.get_text() for text in each.get_texts()] for each in figure.legends)
    assert [way.strip("\u200b") for way in ways] == list(CHOICES)
    assert steps == ["2 supervision steps", "4 supervision steps"]
    assert_legends_hide_nothing(figure)


def test_learning_curves_mark_the_stages_of_the_curriculum():
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


@pytest.mark.parametrize(
    "shares", [[0.0], [0.991, 0.9915], [0.004, 0.99], [1.0], [0.93, 0.97], [np.nan], []]
)
def test_percentages_have_distinct_labels_within_the_possible_range(shares):
    figure, ((axes,),) = new_figure(2)
    percent_axis(axes.yaxis, [shares])
    figure.savefig(io.BytesIO())
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == len(set(labels)) >= 2
    assert all(0 <= float(label.rstrip("%")) <= 100 for label in labels)
    low, high = axes.get_ylim()
    assert all(low < share < high for share in shares if np.isfinite(share))


def test_high_accuracies_are_not_squeezed_into_a_tenth_of_the_axis():
    _, ((axes,),) = new_figure(2)
    percent_axis(axes.yaxis, [[0.98, 0.99]])
    assert axes.get_ylim()[0] > 0.9


def test_accuracies_have_the_intervals_of_the_log():
    accuracy = pictures.learning_curves({"run": CURVE}).axes[0]
    bounds = accuracy.collections[0].get_paths()[0].vertices[:, 1]
    assert bounds.min() == pytest.approx(CURVE.accuracies.low[0])
    assert bounds.max() == pytest.approx(CURVE.accuracies.high[1])


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.__name__)
def test_no_text_leaves_the_picture(draw):
    figure = draw({"one": DRAW[draw]})
    figure.savefig(io.BytesIO())
    drawn, frame = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= frame.x0 - 0.01
    assert drawn.y0 >= frame.y0 - 0.01
    assert drawn.x1 <= frame.x1 + 0.01
    assert drawn.y1 <= frame.y1 + 0.01


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.__name__)
def test_every_color_has_a_counterpart_for_dark_mode(draw, tmp_path):
    path = tmp_path / "picture.svg"
    save_svg(draw(dict.fromkeys("abcd", DRAW[draw])), path)
    style, drawing = re.search("<style>(.*?)</style>(.*)", path.read_text(), re.DOTALL).groups()
    used = set(re.findall("(?:fill|stroke): (#[0-9a-f]{6})", drawing))
    known = set(re.findall(r'\*="(?:fill|stroke): (#[0-9a-f]{6})"', style))
    assert used <= known | GRIDS
    assert "prefers-color-scheme: dark" in style
    assert "http" not in style


def test_the_table_of_variances_shows_the_range_over_the_sets_of_minibatches():
    _, (row,) = run_tables.variance_table({"run\nall at once": VARIANCES})
    assert row == ["run, all at once", "-50% (-60% to -40%)", "unknown: the mean is lost in noise"]


def test_the_change_of_the_variance_is_written_beside_its_bar():
    figure = gradient_pictures.gradient_variances({"run": VARIANCES})
    assert texts(figure) == [" -50%", " unknown: the mean is lost in noise"]


def test_the_legend_lists_every_run_even_if_its_name_begins_with_an_underscore():
    figure = gradient_pictures.gradient_norms(dict.fromkeys(AWKWARD, SHARES))
    (legend,) = figure.legends
    assert len([text for text in legend.get_texts() if text.get_visible()]) == len(AWKWARD)
    assert legend.get_texts()[0].get_text().endswith("_hidden")


def test_lines_with_the_same_values_all_stay_visible():
    figure = pictures.accuracy_by_step(dict.fromkeys(("one", "two", "three"), (SHARES, SHARES)))
    widths = [line.get_linewidth() for line in figure.axes[0].lines]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3


def test_a_depth_has_the_same_shade_in_all_runs():
    plain = CURVE._replace(stages=[("(2, 2)", 0, 40)])
    bars = pictures.learning_curves({"plain": plain, "curriculum": CURVE}).axes[-1].patches
    colors = [bar.get_facecolor() for bar in bars]
    assert colors[0] == colors[2] != colors[1]
