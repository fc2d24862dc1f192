"""The options of the recursion: what they draw, and which settings are refused."""

import dataclasses

import jax
import numpy as np
import pytest

from cgar_jax.models import TRM
from cgar_jax.recursion import RecursionOptions, draw, keys_of_step

MODEL = TRM(6, 16, hidden_size=32, puzzle_embedding_tokens=1)
NOISY = RecursionOptions(noise=0.1, transition_probability=0.5)
BATCH = 6


def keys(seed=0):
    return jax.random.split(jax.random.key(seed), BATCH)


def noise(keys, call=0):
    """The noise of a call, with the batch in front."""
    return np.moveaxis(draw(keys, MODEL, NOISY).noise(call), MODEL.batch_axis, 0)


def test_noise_is_normal_and_shaped_like_the_states():
    drawn = noise(keys())
    assert drawn.shape == (BATCH, *MODEL.state_shape)
    assert drawn.mean() == pytest.approx(0, abs=0.05)
    assert drawn.std() == pytest.approx(1, abs=0.05)


def test_noise_of_an_example_does_not_depend_on_the_others():
    np.testing.assert_array_equal(noise(keys())[2:], noise(keys()[2:]))


@pytest.mark.parametrize(
    "other",
    [
        lambda: noise(keys(), call=1),
        lambda: noise(keys_of_step(keys(), 1)),
        lambda: noise(keys())[::-1],
    ],
    ids=["call", "step", "example"],
)
def test_noise_differs_between(other):
    assert abs(np.corrcoef(noise(keys()).ravel(), other().ravel())[0, 1]) < 0.05


def test_a_transition_happens_as_often_as_its_probability_says():
    many = jax.random.split(jax.random.key(0), 4000)
    drawn = draw(many, MODEL, NOISY).transition
    assert drawn.shape == (1, 4000, 1)  # the batch of token mixing is the second axis
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)


def test_options_that_are_not_random_need_no_draws():
    assert draw(keys(), MODEL, RecursionOptions(rate=0.5, gradient_cycles=2)) is None


def test_random_starts_differ_between_examples_and_states_and_have_deviation_one():
    model = dataclasses.replace(MODEL, start="random")
    variables = model.init(jax.random.key(0), np.zeros((1, 16), int), np.zeros(1, int))
    y, z = model.apply(variables, keys(), method="initial_state")
    both = np.stack([y, z]).reshape(2 * BATCH, -1)
    assert both.std() == pytest.approx(1, abs=0.02)
    assert np.abs(both).max() < 2 / 0.8796 + 1e-3  # cut at two standard deviations
    assert np.abs(np.corrcoef(both) - np.eye(2 * BATCH)).max() < 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0}, "rate is 0"),
        ({"noise": -1}, "noise is -1"),
        ({"gradient_cycles": -1}, "gradient_cycles is -1"),
        ({"gradient_calls": "first"}, "'all', 'last'"),
        ({"gradient_calls": "last", "gradient_cycles": 2}, "needs gradient_cycles=1"),
        ({"transition_probability": 0.1, "gradient_cycles": 0}, "needs gradient_cycles=1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RecursionOptions(**settings)
