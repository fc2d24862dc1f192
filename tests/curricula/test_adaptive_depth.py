import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import curricula
from cgar_jax.curricula import Depth

pairs = st.tuples(st.integers(1, 8), st.integers(1, 5))


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
def test_the_smooth_depth_is_that_of_the_formula(settings, progress):
    smooth = curricula.smooth_depth_curriculum(**settings)
    if any(abs(progress - boundary) < 1e-6 for boundary in smooth.boundaries):
        return  # rounding decides
    grown = min(progress / settings["end"], 1) ** settings["power"]
    n, T = (
        low + math.floor(grown * (high - low))
        for low, high in zip(settings["first"], settings["last"], strict=True)
    )
    assert smooth(progress) == Depth(n, T)


@given(smooth_settings())
def test_the_smooth_depth_grows_by_no_more_than_it_must(settings):
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
def test_the_smooth_curriculum_says_what_is_wrong(settings, message):
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


def test_the_least_budget_has_no_step_of_full_depth():
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
def test_the_budgeted_curriculum_says_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        curricula.budgeted_depth_curriculum(**settings)


def depths_of(losses, latest=1.0, **settings):
    """Index of the depth that each step of these losses runs at."""
    total = len(losses)
    (depths,) = curricula.plateau_depth_curriculum(latest=latest, **settings).stages

    def step(state, now):
        number, loss = now
        chosen = depths.choose(state, jax.random.key(0), number / total)
        return depths.update(state, loss, total), chosen

    numbers = jnp.arange(total, dtype=jnp.float32)
    return np.asarray(
        jax.lax.scan(step, depths.init(total), (numbers, jnp.asarray(losses, jnp.float32)))[1]
    )


@pytest.mark.parametrize(("window", "patience"), [(1, 1), (1, 3), (4, 1), (5, 2)])
def test_a_loss_that_stands_still_moves_on_after_so_many_windows(window, patience):
    found = depths_of(np.ones(60), window=window / 60, patience=patience)
    first, second = window * (1 + patience), window * (1 + 2 * patience)
    expected = (np.arange(60) >= first).astype(int) + (np.arange(60) >= second)
    np.testing.assert_array_equal(found, expected)


def test_a_loss_that_falls_fast_enough_keeps_the_first_depth():
    assert not depths_of(0.98 ** np.arange(100), window=0.01, patience=1, improvement=0.01).any()


def test_a_loss_that_falls_too_slowly_is_a_plateau():
    assert depths_of(0.98 ** np.arange(100), window=0.01, patience=1, improvement=0.03)[-1] == 2


def test_noise_within_a_window_is_no_plateau():
    rising_and_falling = 0.9 ** np.repeat(np.arange(10), 10) * np.tile([0.5, 1.5], 50)
    assert not depths_of(rising_and_falling, window=0.1, patience=1).any()
    assert depths_of(rising_and_falling, window=0.01, patience=1).any()


def test_from_the_latest_moment_on_the_depth_is_full():
    falling = 0.9 ** np.arange(50)
    np.testing.assert_array_equal(depths_of(falling, latest=0.6), [0] * 30 + [2] * 20)


def test_plateaus_are_planned_to_share_the_time_before_the_latest_moment():
    planned = curricula.plateau_depth_curriculum(latest=0.6).relative_cost("gradient_aware")
    progressive = curricula.progressive_depth_curriculum(boundaries=(0.3, 0.6))
    assert planned == pytest.approx(progressive.relative_cost("gradient_aware"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": ((6, 3),)}, "two or more"),
        ({"stages": ((6, 3), (2, 1))}, "more expensive than the one before"),
        ({"stages": ((2, 1), Depth(2, 2, exits=(1, 2)))}, "no early exits"),
        ({"latest": 0}, "latest is 0"),
        ({"window": 2}, "window is 2"),
        ({"patience": 0}, "patience is 0"),
        ({"improvement": 1}, "improvement is 1"),
    ],
)
def test_the_plateau_curriculum_says_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        curricula.plateau_depth_curriculum(**settings)


def test_plateaus_stand_alone():
    plateaus = curricula.plateau_depth_curriculum().stages[0]
    with pytest.raises(ValueError, match="must be the only stage"):
        curricula.DepthCurriculum(((1, 1), plateaus), (0.5,))
