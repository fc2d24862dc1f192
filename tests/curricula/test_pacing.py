"""`pacing_subset_curriculum`: shares, counts and orders of examples."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cgar_jax import curricula

FAMILIES = ("linear", "root", "quadratic", "exponential", "logarithmic", "step")
SCORES = np.array([3.0, 1.0, 2.0, 1.0, 3.0, 0.0, 2.0], np.float32)
progress = st.floats(0, 1)


@st.composite
def pacings(draw):
    return curricula.pacing_subset_curriculum(
        start_fraction=draw(st.floats(0, 1)),
        full_at=draw(st.floats(0.05, 1)),
        family=draw(st.sampled_from(FAMILIES)),
        order=draw(st.sampled_from(["curriculum", "anti"])),
    )


@given(pacings(), progress, progress)
def test_the_share_never_decreases(curriculum, a, b):
    assert curriculum(min(a, b)) <= curriculum(max(a, b))


@given(pacings(), progress, progress, st.integers(1, 10**6))
def test_the_number_of_examples_never_decreases(curriculum, a, b, num_examples):
    counts = [curriculum.count(p, num_examples) for p in (min(a, b), max(a, b))]
    assert counts[0] <= counts[1]


@given(pacings(), st.integers(1, 10**12))
def test_all_examples_are_in_use_from_full_at_on(curriculum, num_examples):
    for at in (curriculum.full_at, 1):
        assert curriculum(at) == 1
        assert curriculum.count(at, num_examples) == num_examples


@given(pacings())
def test_training_starts_with_the_start_fraction(curriculum):
    assert curriculum(0) == curriculum.start_fraction


@given(pacings(), progress)
def test_the_share_lies_between_the_start_fraction_and_one(curriculum, at):
    assert curriculum.start_fraction <= curriculum(at) <= 1


@given(st.sampled_from(FAMILIES), progress, st.integers(1, 10**6))
def test_a_start_fraction_of_one_is_ordinary_training(family, at, num_examples):
    curriculum = curricula.pacing_subset_curriculum(1.0, family=family)
    assert curriculum(at) == 1
    assert curriculum.count(at, num_examples) == num_examples


@pytest.mark.parametrize(
    ("family", "share"),
    [
        ("linear", 0.2 + 0.8 * 0.25),
        ("root", 0.2 + 0.8 * 0.5),
        ("quadratic", 0.2 + 0.8 * 0.0625),
        ("exponential", 0.2 + 0.8 * (math.exp(2.5) - 1) / (math.exp(10) - 1)),
        ("logarithmic", 0.2 + 0.8 * (1 + math.log(0.25 + math.exp(-10)) / 10)),
        ("step", 0.2),
    ],
)
def test_the_share_a_quarter_of_the_way_to_the_full_set(family, share):
    curriculum = curricula.pacing_subset_curriculum(0.2, 0.8, family)
    assert curriculum(0.2) == pytest.approx(share, rel=1e-12)


def test_a_full_set_beyond_the_end_of_the_run_is_never_reached():
    assert curricula.pacing_subset_curriculum(0.2, full_at=2.0)(1.0) == pytest.approx(0.6)


@pytest.mark.parametrize("num_examples", [1, 3, 100])
def test_at_least_one_example_is_in_use(num_examples):
    assert curricula.pacing_subset_curriculum(0.0).count(0, num_examples) == 1


# In float64, 0.07 * 100 is more than 7, and 0.2 + 0.8 * (0.3 / 0.8) more than 0.5.
@pytest.mark.parametrize(
    ("start_fraction", "at", "num_examples", "count"),
    [(0.2, 0, 10, 2), (0.07, 0, 100, 7), (0.2, 0.3, 10, 5), (0.2, 0, 11, 3), (0.2, 0.3, 9, 5)],
)
def test_the_number_of_examples_is_rounded_up_in_spite_of_float_error(
    start_fraction, at, num_examples, count
):
    curriculum = curricula.pacing_subset_curriculum(start_fraction)
    assert curriculum.count(at, num_examples) == count


def test_the_full_set_is_reached_at_its_step_in_spite_of_float_error():
    curriculum = curricula.pacing_subset_curriculum(full_at=0.1 + 0.2, family="step")
    assert curriculum(3 / 10) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_traced_progress_agrees_with_a_number(family):
    curriculum = curricula.pacing_subset_curriculum(0.15, 0.7, family)
    steps = np.arange(201)
    shares, counts = jax.jit(lambda p: (curriculum(p), curriculum.count(p, 997)))(
        jnp.asarray(steps / 200, jnp.float32)
    )
    np.testing.assert_allclose(shares, [curriculum(s / 200) for s in steps], rtol=2e-6)
    np.testing.assert_allclose(counts, [curriculum.count(s / 200, 997) for s in steps], atol=1)
    np.testing.assert_array_equal(np.asarray(counts)[[0, 140, 200]], [150, 997, 997])


# In float32, each of these fractions times 100 exceeds the exact product.
@pytest.mark.parametrize(("start_fraction", "count"), [(0.15, 15), (0.3, 30), (0.54, 54)])
def test_a_traced_number_of_examples_is_rounded_up_in_spite_of_float_error(start_fraction, count):
    curriculum = curricula.pacing_subset_curriculum(start_fraction)
    assert jax.jit(lambda p: curriculum.count(p, 100))(0.0) == count


def test_a_progress_in_bfloat16_gives_a_share_in_float32():
    curriculum, at = curricula.pacing_subset_curriculum(0.15), jnp.bfloat16(0.25)
    assert curriculum(at).dtype == jnp.float32
    np.testing.assert_allclose(curriculum(at), curriculum(0.25), rtol=1e-6)


def test_the_number_of_examples_is_an_int_outside_and_int32_inside_a_trace():
    curriculum = curricula.pacing_subset_curriculum()
    assert type(curriculum.count(0.5, 10)) is int
    assert jax.jit(lambda p: curriculum.count(p, 10))(0.5).dtype == jnp.int32


@given(pacings(), st.lists(progress, min_size=2, max_size=6), st.integers(0, 99))
def test_the_examples_in_use_stay_in_use(curriculum, moments, seed):
    scores = np.random.default_rng(seed).integers(0, 9, 40)
    order = np.asarray(curriculum.order_examples(scores))
    used = [set(order[: curriculum.count(p, len(order))].tolist()) for p in sorted(moments)]
    assert all(a <= b for a, b in itertools.pairwise(used))


def test_the_order_curriculum_begins_with_the_easiest_and_keeps_the_order_of_ties():
    order = curricula.pacing_subset_curriculum(order="curriculum").order_examples(SCORES)
    np.testing.assert_array_equal(order, [5, 1, 3, 2, 6, 0, 4])


def test_the_order_anti_begins_with_the_hardest_and_keeps_the_order_of_ties():
    order = curricula.pacing_subset_curriculum(order="anti").order_examples(SCORES)
    np.testing.assert_array_equal(order, [0, 4, 2, 6, 1, 3, 5])


def test_a_random_order_puts_each_example_equally_often_in_each_place():
    curriculum = curricula.pacing_subset_curriculum(order="random")
    keys = jax.random.split(jax.random.key(0), 2000)
    draw = jax.jit(jax.vmap(lambda key: curriculum.order_examples(SCORES, key)))
    orders = np.asarray(draw(keys))
    np.testing.assert_array_equal(np.sort(orders, axis=1)[:50], [range(7)] * 50)
    for place in range(7):
        assert stats.chisquare(np.bincount(orders[:, place], minlength=7)).pvalue > 1e-3


def test_a_random_order_ignores_the_scores():
    curriculum = curricula.pacing_subset_curriculum(order="random")
    orders = [curriculum.order_examples(s, jax.random.key(1)) for s in (SCORES, -SCORES)]
    np.testing.assert_array_equal(*orders)


def test_a_random_order_needs_a_key():
    with pytest.raises(ValueError, match="'random', but key is None"):
        curricula.pacing_subset_curriculum(order="random").order_examples(SCORES)


def test_equal_settings_make_equal_curricula():
    made = [curricula.pacing_subset_curriculum(0.3, family="root") for _ in range(2)]
    assert {made[0]: "found"}[made[1]] == "found"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"start_fraction": -0.1}, "start_fraction is -0.1"),
        ({"start_fraction": 1.1}, "start_fraction is 1.1"),
        ({"full_at": 0.0}, "full_at is 0.0"),
        ({"family": "quadratics"}, "did you mean 'quadratic'"),
        ({"order": "anti-curriculum"}, "did you mean 'curriculum'"),
    ],
)
def test_an_invalid_setting_raises_an_error(settings, match):
    with pytest.raises(ValueError, match=match):
        curricula.pacing_subset_curriculum(**settings)


@pytest.mark.parametrize("at", [-0.01, 1.01])
def test_progress_outside_the_unit_interval_raises_an_error(at):
    with pytest.raises(ValueError, match="progress is"):
        curricula.pacing_subset_curriculum()(at)


def test_a_training_set_without_examples_raises_an_error():
    with pytest.raises(ValueError, match="num_examples is 0"):
        curricula.pacing_subset_curriculum().count(0.5, 0)


def test_scores_that_are_not_a_vector_raise_an_error():
    with pytest.raises(ValueError, match=r"scores has shape \(7, 1\)"):
        curricula.pacing_subset_curriculum().order_examples(SCORES[:, None])
