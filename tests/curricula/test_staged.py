"""Curricula whose stages begin at fixed moments: fixed, progressive, smooth and budgeted."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import curricula
from cgar_jax.curricula import Depth

pairs = st.tuples(st.integers(1, 8), st.integers(1, 5))
progress = st.floats(0, 1)


@pytest.mark.parametrize(
    ("progress", "depth"),
    [(0, (2, 1)), (0.2999, (2, 1)), (0.3, (4, 2)), (0.59, (4, 2)), (0.6, (6, 3)), (1, (6, 3))],
)
def test_the_progressive_curriculum_has_the_published_depths(progress, depth):
    assert curricula.progressive_depth_curriculum()(progress) == Depth(*depth)


def test_the_paper_count_of_the_progressive_curriculum_is_24_6_of_42():
    cost = curricula.progressive_depth_curriculum().relative_cost("paper")
    assert cost == pytest.approx(24.6 / 42)


def test_the_gradient_aware_count_of_the_progressive_curriculum_is_22_7_of_35():
    cost = curricula.progressive_depth_curriculum().relative_cost("gradient_aware")
    assert cost == pytest.approx(22.7 / 35)


@given(progress)
def test_a_fixed_depth_is_constant(progress):
    curriculum = curricula.fixed_depth_curriculum((4, 2))
    assert curriculum(progress) == Depth(4, 2)
    assert curriculum.relative_cost("paper") == 1
    assert curriculum.relative_cost("gradient_aware") == 1


@st.composite
def smooth_settings(draw):
    n, T = draw(pairs)
    growth = draw(st.tuples(st.integers(0, 6), st.integers(0, 4)).filter(any))
    return {
        "first": (n, T),
        "last": (n + growth[0], T + growth[1]),
        "end": draw(st.floats(0.05, 1)),
        "power": draw(st.floats(0.25, 4)),
    }


def test_the_smooth_curriculum_has_five_stages_by_default():
    smooth = curricula.smooth_depth_curriculum()
    assert [str(depth) for depth in smooth.stages] == [
        "(2, 1)",
        "(3, 1)",
        "(4, 2)",
        "(5, 2)",
        "(6, 3)",
    ]
    assert smooth.boundaries == pytest.approx((0.15, 0.3, 0.45, 0.6))


@given(smooth_settings(), st.floats(0, 1))
def test_the_smooth_depth_agrees_with_the_formula(settings, progress):
    smooth = curricula.smooth_depth_curriculum(**settings)
    if any(abs(progress - boundary) < 1e-6 for boundary in smooth.boundaries):
        return  # Rounding decides which side of the boundary this is.
    grown = min(progress / settings["end"], 1) ** settings["power"]
    n, T = (
        low + math.floor(grown * (high - low))
        for low, high in zip(settings["first"], settings["last"], strict=True)
    )
    assert smooth(progress) == Depth(n, T)


@given(smooth_settings())
def test_the_smooth_depth_grows_by_one_at_a_time(settings):
    smooth = curricula.smooth_depth_curriculum(**settings)
    assert smooth.full_depth == Depth(*settings["last"])
    for before, after in itertools.pairwise(smooth.stages):
        assert (after.n - before.n, after.T - before.T) in {(0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": (6, 3)}, "at least one must be larger"),
        ({"first": (7, 1)}, "may be smaller"),
        ({"end": 0}, "end must be in"),
        ({"power": 0}, "power above 0"),
    ],
)
def test_an_invalid_smooth_curriculum_raises_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        curricula.smooth_depth_curriculum(**settings)


@given(st.floats(0.42, 1), st.lists(st.floats(0.1, 1), min_size=2, max_size=2))
def test_a_budgeted_curriculum_costs_its_budget(budget, sizes):
    shares = [size / sum(sizes) for size in sizes]
    stages = ((2, 1), (3, 1), (6, 3))
    found = curricula.budgeted_depth_curriculum(budget, stages, shares)
    assert found.relative_cost("gradient_aware") == pytest.approx(budget)


def test_the_stages_before_the_last_keep_their_shares():
    found = curricula.budgeted_depth_curriculum(0.7, shares=(0.25, 0.75))
    first, second = found.boundaries
    assert first == pytest.approx(second / 4)


def test_a_budget_of_one_is_full_depth_throughout():
    found = curricula.budgeted_depth_curriculum(1)
    assert found == curricula.fixed_depth_curriculum()


def test_the_smallest_budget_has_no_step_of_full_depth():
    least = (9 + 20) / 2 / 35
    found = curricula.budgeted_depth_curriculum(least)
    assert [stage.depth for stage in found.schedule(10)] == [Depth(2, 1), Depth(4, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0.4}, "from 0.414"),
        ({"budget": 1.1}, "to 1 "),
        ({"budget": 0.9, "shares": (0.5, 0.6)}, "must sum to 1"),
        ({"budget": 0.9, "shares": (1.0,)}, "one positive share for each of the 2 stages"),
        ({"budget": 0.9, "stages": ((6, 3),)}, "at least one"),
        ({"budget": 0.9, "stages": ((6, 3), (2, 1))}, "the last one must cost more"),
    ],
)
def test_an_invalid_budgeted_curriculum_raises_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        curricula.budgeted_depth_curriculum(**settings)
