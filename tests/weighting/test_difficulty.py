"""The curriculum of loss weights by difficulty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import weighting
from tests.weighting.updating import update, weights_of

curriculum = weighting.difficulty_curriculum_weighting
pacing = weighting.pacing_subset_weighting
HEURISTICS = {
    "min_max": jax.jit(weighting.min_max_ease),
    "quantile": jax.jit(weighting.quantile_ease),
    "reciprocal_rank": jax.jit(weighting.reciprocal_rank_ease),
}
SIZE = 6

unit = st.floats(0, 1, width=32, allow_subnormal=False)
eases = hnp.arrays(np.float32, SIZE, elements=unit)
every_heuristic = pytest.mark.parametrize("heuristic", sorted(HEURISTICS))


@jax.jit
def weights_at(ease, progress):
    transform = curriculum(10, min_ease=0.0)
    return weights_of_jitted(transform, ease, progress)


@jax.jit
def anti_weights_at(ease, progress):
    return weights_of_jitted(curriculum(10, anti=True, min_ease=0.0), ease, progress)


def weights_of_jitted(transform, ease, progress):
    return update(transform, jnp.ones(SIZE), ease=ease, progress=progress)[0]


@given(eases)
def test_the_weight_is_the_ease_at_the_start(ease):
    np.testing.assert_array_equal(weights_at(ease, 0.0), ease)


@given(eases)
def test_all_weights_are_equal_at_the_end(ease):
    np.testing.assert_array_equal(weights_at(ease, 1.0), 1)


@given(unit)
def test_the_easiest_example_always_has_weight_one(progress):
    np.testing.assert_array_equal(weights_at(np.ones(SIZE, np.float32), progress), 1)


@given(eases, unit)
def test_the_weight_lies_between_the_ease_and_one(ease, progress):
    weights = weights_at(ease, progress)
    assert (weights >= ease * (1 - 1e-6)).all()
    assert (weights <= 1 + 1e-6).all()


@given(eases, unit, unit)
def test_weights_never_fall_over_training(ease, one, other):
    early, late = sorted((one, other))
    assert (weights_at(ease, late) >= weights_at(ease, early) - 1e-6).all()


@given(eases, unit)
def test_an_easier_example_never_weighs_less(ease, progress):
    assert (np.diff(weights_at(np.sort(ease), progress)) >= -1e-6).all()


@given(eases, unit)
def test_anti_replaces_the_ease_by_one_minus_the_ease(ease, progress):
    np.testing.assert_allclose(
        anti_weights_at(ease, progress), weights_at(1 - ease, progress), rtol=1e-6
    )


def test_progress_is_the_share_of_updates_up_to_the_end_step():
    transform, losses = curriculum(4), jnp.ones(1)
    state, found = None, []
    for _ in range(6):
        weights, state = update(transform, losses, state, ease=jnp.array([0.2]))
        found.append(float(weights[0]))
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-6)


def test_progress_replaces_the_number_of_updates():
    transform, ease = curriculum(2), jnp.array([0.5])
    _, state = update(transform, jnp.ones(1), ease=ease)
    weights, _ = update(transform, jnp.ones(1), state, ease=ease, progress=0.0)
    np.testing.assert_allclose(weights, 0.5)


@pytest.mark.parametrize(("progress", "expected"), [(-1.0, 0.25), (2.0, 1.0)])
def test_progress_is_clipped_to_its_range(progress, expected):
    weights = weights_of(curriculum(2), jnp.ones(1), ease=jnp.array([0.25]), progress=progress)
    np.testing.assert_allclose(weights, expected)


def test_a_fade_function_replaces_the_linear_fade():
    transform = curriculum(10, fade=jnp.square)
    weights = weights_of(transform, jnp.ones(1), ease=jnp.array([0.2]), progress=0.5)
    np.testing.assert_allclose(weights, 0.2 * 0.75 + 0.25, rtol=1e-6)


def test_no_weight_is_below_the_minimum_ease():
    weights = weights_of(curriculum(10, min_ease=0.3), jnp.ones(2), ease=jnp.array([0.0, 0.5]))
    np.testing.assert_allclose(weights, [0.3, 0.5], rtol=1e-6)


def test_the_hardest_example_has_a_positive_weight():
    assert weights_of(curriculum(10), jnp.ones(1), ease=jnp.zeros(1)) > 0


@every_heuristic
def test_the_heuristic_turns_difficulty_into_ease(heuristic):
    difficulty = jnp.array([5.0, 2.0, 9.0, 2.0])
    weights = weights_of(curriculum(10, heuristic), jnp.ones(4), difficulty=difficulty)
    np.testing.assert_allclose(weights, HEURISTICS[heuristic](difficulty), atol=1e-6)


def test_the_argument_ease_replaces_the_difficulty():
    extras = {"difficulty": jnp.array([1.0, 2.0]), "ease": jnp.array([0.1, 0.7])}
    weights = weights_of(curriculum(10), jnp.ones(2), **extras)
    np.testing.assert_allclose(weights, extras["ease"], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"end_step": 0}, r"end_step is 0, but it must be in \(0, inf\)"),
        ({"end_step": 1, "min_ease": 2.0}, r"min_ease is 2.0, but it must be in \[0, 1\]"),
        ({"end_step": 1, "heuristic": "quantiles"}, "did you mean 'quantile'"),
        ({"end_step": 1, "fade": "linar"}, "did you mean 'linear'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        curriculum(**settings)


@pytest.mark.parametrize("transform", [curriculum(2), pacing(2)])
def test_progress_must_be_a_scalar(transform):
    extras = {"ease": jnp.ones(3), "progress": jnp.zeros(3)}
    with pytest.raises(ValueError, match=r"'progress' has shape \(3,\)"):
        weights_of(transform, jnp.ones(3), **extras)
