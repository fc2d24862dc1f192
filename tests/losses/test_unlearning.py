"""Losses for unlearning: their limits, and the divergences behind them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.losses import direct_preference_loss, f_divergence_unlearning_loss, npo_loss
from cgar_jax.losses.unlearning import DIVERGENCES

F = {
    "total_variation": lambda u: np.abs(u - 1) / 2,
    "kl": lambda u: u * np.log(u),
    "pearson": lambda u: (u - 1) ** 2,
    "jensen_shannon": lambda u: u * np.log(u) - (u + 1) * np.log((1 + u) / 2),
    "squared_hellinger": lambda u: (np.sqrt(u) - 1) ** 2,
    "neyman": lambda u: (1 - u) ** 2 / u,
}
"""The function of each divergence, as in its definition."""
every_divergence = pytest.mark.parametrize("divergence", DIVERGENCES)


def test_a_small_beta_gives_the_gradient_of_the_log_probability():
    gradient = jax.grad(lambda x: npo_loss(x, jnp.array([-2.0]), beta=1e-4).sum())(
        jnp.array([-5.0])
    )
    assert gradient[0] == pytest.approx(1, abs=1e-3)


def test_the_gradient_fades_as_an_answer_is_forgotten():
    log_probabilities = jnp.array([-2.0, -4.0, -40.0])
    gradient = jax.grad(lambda x: npo_loss(x, -jnp.ones(3), beta=1.0).sum())(log_probabilities)
    assert gradient[0] > gradient[1] > gradient[2] > 0
    assert gradient[2] < 1e-15


def test_it_is_the_preference_loss_of_a_rejected_answer_alone():
    ours, reference = jnp.array([-3.0, -1.0]), jnp.array([-1.0, -2.0])
    pairs = jnp.stack([jnp.zeros(2), ours], axis=1)
    references = jnp.stack([jnp.zeros(2), reference], axis=1)
    expected = 2 / 0.7 * direct_preference_loss(pairs, references, beta=0.7)
    np.testing.assert_allclose(npo_loss(ours, reference, beta=0.7), expected, rtol=1e-6)


def test_a_beta_out_of_range_is_refused():
    with pytest.raises(ValueError, match="beta is 0"):
        npo_loss(jnp.zeros(2), jnp.zeros(2), beta=0)


@every_divergence
def test_the_pair_of_functions_bounds_its_divergence(divergence):
    x, u = np.meshgrid(np.linspace(-2, 0.6, 60), np.linspace(0.05, 5, 60))
    form = DIVERGENCES[divergence]
    bound = np.asarray(form.g(jnp.asarray(x)) * u - form.conjugate_of_g(jnp.asarray(x)))
    assert (bound <= F[divergence](u) + 1e-5).all()


@every_divergence
def test_it_falls_with_the_wanted_and_rises_with_the_forgotten_answer(divergence):
    def loss(wanted, forgotten):
        return f_divergence_unlearning_loss(wanted, forgotten, divergence=divergence).sum()

    probabilities = jnp.linspace(0.01, 0.99, 9)
    wanted, forgotten = jax.grad(loss, (0, 1))(probabilities, probabilities)
    assert (wanted < 0).all()
    assert (forgotten > 0).all()


@every_divergence
def test_the_gradient_of_a_forgotten_answer_stays_bounded(divergence):
    gradient = jax.grad(
        lambda p: f_divergence_unlearning_loss(jnp.zeros(3), p, divergence=divergence).sum()
    )(jnp.array([0.0, 1e-6, 1e-3]))
    assert np.abs(gradient).max() < 2


def test_the_total_variation_is_bounded():
    wanted, forgotten = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    found = f_divergence_unlearning_loss(wanted, forgotten)
    np.testing.assert_allclose(found, np.tanh(1) / 2 * np.array([-1, 1]), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"divergence": "hellinger"}, "unknown divergence"),
        ({"wanted_probabilities": jnp.ones((2, 2))}, "wanted_probabilities"),
        ({"forgotten_probabilities": jnp.ones(3)}, "forgotten_probabilities"),
    ],
)
def test_bad_input_names_the_argument(changes, message):
    both = {"wanted_probabilities": jnp.ones(2), "forgotten_probabilities": jnp.ones(2)}
    with pytest.raises(ValueError, match=message):
        f_divergence_unlearning_loss(**both | changes)
