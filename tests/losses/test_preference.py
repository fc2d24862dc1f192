"""The loss of pairs of answers: its published members, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.losses import direct_preference_loss

numbers = st.floats(-20, -0.125, width=32)


def loss(chosen, rejected, reference=None, lengths=None, **settings):
    pairs = jnp.array([[chosen, rejected]])
    reference = None if reference is None else jnp.array([reference])
    lengths = None if lengths is None else jnp.array([lengths])
    return float(direct_preference_loss(pairs, reference, lengths, **settings)[0])


def softplus(x):
    return np.logaddexp(0, x)


@given(numbers, numbers, numbers, numbers)
def test_the_published_members_are_choices_of_its_settings(w, l, rw, rl):
    members = {
        "dpo": (softplus(-0.3 * (w - rw - l + rl)), loss(w, l, (rw, rl), beta=0.3)),
        "length-normalized dpo": (
            softplus(-5 * ((w - rw) / 4 - (l - rl) / 2)),
            loss(w, l, (rw, rl), (4, 2), beta=5.0),
        ),
        "cpo": (softplus(-0.3 * (w - l)), loss(w, l, beta=0.3)),
        "simpo": (
            softplus(0.5 - 2 * (w / 4 - l / 2)),
            loss(w, l, lengths=(4, 2), beta=2.0, margin=0.5),
        ),
        "ipo": (
            (w - rw - l + rl - 1 / 0.6) ** 2,
            loss(w, l, (rw, rl), beta=0.3, link="squared"),
        ),
        "slic": (max(0, 1 - 0.3 * (w - l)), loss(w, l, beta=0.3, margin=1.0, link="hinge")),
    }
    for name, (expected, found) in members.items():
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5), name


@given(numbers, numbers)
def test_odds_are_those_of_the_mean_probability_of_a_token(w, l):
    def log_odds(mean):
        return mean - np.log1p(-np.exp(mean))

    expected = softplus(log_odds(l / 2) - log_odds(w / 3))
    assert loss(w, l, lengths=(3, 2), beta=1.0, odds=True) == pytest.approx(expected, rel=1e-3)


def test_a_policy_that_equals_its_reference_has_the_loss_log_two():
    assert loss(-3.0, -1.0, (-3.0, -1.0), beta=0.7) == pytest.approx(np.log(2))


def test_a_uniform_reference_changes_nothing():
    assert loss(-3.0, -1.0, (-2.0, -2.0), beta=0.7) == pytest.approx(loss(-3.0, -1.0, beta=0.7))


@given(numbers, numbers)
def test_exchanging_the_answers_changes_the_sign_of_the_preference(w, l):
    # softplus(-x) - softplus(x) = -x
    assert loss(w, l, beta=0.5) - loss(l, w, beta=0.5) == pytest.approx(-0.5 * (w - l), abs=1e-4)


@pytest.mark.parametrize("odds", [False, True])
def test_it_falls_with_the_chosen_and_rises_with_the_rejected_answer(odds):
    def total(pair):
        return direct_preference_loss(pair, beta=0.5, odds=odds).sum()

    chosen, rejected = jax.grad(total)(jnp.array([[-2.0, -1.0]]))[0]
    assert chosen < 0 < rejected


def test_adding_the_same_number_to_both_scores_changes_nothing():
    shifted = loss(-3.0, -2.0, (-1.0, -1.0), (2, 4), beta=5.0)
    moved = loss(-3.0 + 2, -2.0 + 4, (-1.0, -1.0), (2, 4), beta=5.0)
    assert shifted == pytest.approx(moved, rel=1e-5)


def test_a_certain_answer_has_finite_odds():
    pairs = jnp.array([[0.0, -1e4]])
    value, gradient = jax.value_and_grad(
        lambda pair: direct_preference_loss(pair, beta=1.0, odds=True).sum()
    )(pairs)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": 0.0}, "beta is 0.0"),
        ({"margin": -1.0}, "margin is -1.0"),
        ({"link": "logit"}, "unknown link of direct_preference_loss 'logit'"),
        ({"link": "squared", "margin": 1.0}, "the squared link has its own"),
        ({"log_probabilities": jnp.ones((3, 3))}, "log_probabilities"),
        ({"lengths": jnp.ones(3)}, "lengths"),
    ],
)
def test_bad_input_names_the_argument(changes, message):
    arguments = {"log_probabilities": -jnp.ones((3, 2)), "beta": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        direct_preference_loss(**arguments)
