"""Weightings by the probability of the right answer."""

import functools

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses as losses_
from cgar_jax import weighting
from tests.weighting.updating import weights_of

positive_losses = hnp.arrays(
    np.float32, 8, elements=st.floats(2**-10, 40, width=32, allow_subnormal=False)
)


# focal_weighting


@jax.jit
def focal_weights(losses, gamma):
    return weights_of(weighting.focal_weighting(gamma), losses)


@jax.jit
def focal_gradient(losses, gamma):
    transform = weighting.focal_weighting(gamma, stop_gradient=False)
    return jax.grad(lambda x: weighting.weighted_mean(transform, x, transform.init(x))[0])(losses)


@functools.partial(jax.jit, static_argnums=3)
def binary_focal(logits, labels, gamma, ours):
    """Returns the focal loss and its gradient, by our weighting or by optax."""

    def mean(logits):
        if not ours:
            return optax.losses.sigmoid_focal_loss(logits, labels, alpha=None, gamma=gamma).mean()
        transform = weighting.focal_weighting(gamma, stop_gradient=False)
        losses = optax.sigmoid_binary_cross_entropy(logits, labels)
        return weighting.weighted_mean(transform, losses, transform.init(losses))[0]

    return jax.value_and_grad(mean)(logits)


def test_focal_weights_worked_by_hand():
    found = focal_weights(-np.log([0.5, 0.9, 0.2, 1.0]), 2.0)
    np.testing.assert_allclose(found, [0.25, 0.01, 0.64, 0], rtol=1e-5)


@given(positive_losses, st.floats(0, 4))
def test_focal_weights_are_in_the_unit_interval_and_rise_with_the_loss(losses, gamma):
    weights = np.asarray(focal_weights(np.sort(losses), gamma))
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    assert (np.diff(weights) >= -1e-6).all()


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(-8, 8, width=32, allow_subnormal=False)),
    hnp.arrays(bool, 8),
    st.floats(0, 4),
)
def test_with_the_gradient_through_weights_it_is_the_focal_loss_of_optax(logits, labels, gamma):
    labels = labels.astype(np.float32)
    (value, gradient), (expected, expected_gradient) = (
        binary_focal(logits, labels, gamma, ours) for ours in (True, False)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_the_focal_gradient_is_finite_at_losses_near_zero(gamma):
    losses = np.array([0.0, 1e-44, 1e-39, 1.2e-38, 1e-30, 1e-7, 200], np.float32)
    assert np.isfinite(focal_gradient(losses, gamma)).all()


def test_with_gamma_zero_the_focal_weight_of_a_certain_prediction_is_one():
    np.testing.assert_array_equal(focal_weights(np.zeros(2), 0.0), 1)


def test_negative_losses_have_the_weight_of_loss_zero():
    np.testing.assert_array_equal(focal_weights(np.array([-1.0, 0.0]), 0.5), 0)
    np.testing.assert_array_equal(satimp_weights(np.array([-1.0, 0.0]), 5.0, 0.0), -1)


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match=r"gamma is -0.5, but it must be in \[0, inf\)"):
        weighting.focal_weighting(-0.5)


# satimp_weighting


@functools.partial(jax.jit, static_argnums=3)
def satimp_weights(losses, saturation, importance, ascent=True):
    return weights_of(weighting.satimp_weighting(saturation, importance, ascent), losses)


exponents = st.floats(0.25, 8)


def test_satimp_weights_worked_by_hand():
    found = satimp_weights(-np.log([0.5, 0.9, 1.0]), 5.0, 1.0)
    np.testing.assert_allclose(found, [-(0.5**6), -(0.9**5) * 0.1, 0], rtol=1e-5)


def test_the_default_exponents_are_those_that_the_authors_recommend():
    p = np.array([0.2, 0.6, 0.95])
    found = weights_of(weighting.satimp_weighting(), -np.log(p))
    np.testing.assert_allclose(found, -(p**5) * (1 - p) ** 0.1, rtol=1e-5)


def test_with_both_exponents_zero_it_is_plain_gradient_ascent():
    np.testing.assert_array_equal(satimp_weights(np.array([0.0, 0.1, 3.0, 90.0]), 0.0, 0.0), -1)


@given(exponents, exponents)
def test_the_satimp_weight_is_largest_where_the_exponents_balance(saturation, importance):
    total = saturation + importance
    best = saturation / total
    probabilities = np.append(np.linspace(0.01, 0.99, 99), best)
    weights = -satimp_weights(-np.log(probabilities), saturation, importance)
    largest = saturation**saturation * importance**importance / total**total
    np.testing.assert_allclose(weights[-1], largest, rtol=1e-4)
    assert (weights <= weights[-1] * (1 + 1e-4)).all()


@given(positive_losses, exponents)
def test_with_importance_zero_it_is_weighted_gradient_ascent(losses, saturation):
    expected = -np.exp(-np.float64(losses) * saturation)
    found = satimp_weights(losses, saturation, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-37)


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(0, 2e4, width=32, allow_subnormal=False)),
    exponents,
    exponents,
)
def test_the_ascent_is_bounded(losses, saturation, importance):
    ascent = -losses * satimp_weights(losses, saturation, importance)
    assert (ascent <= 1 / (np.e * saturation) + 1e-6).all()


def test_the_weight_of_forgotten_examples_vanishes():
    found = satimp_weights(np.array([5.0, 20.0, 1000.0]), 1.0, 1.0)
    np.testing.assert_allclose(found, [-np.exp(-5) + np.exp(-10), 0, 0], rtol=1e-5, atol=1e-8)


@given(positive_losses, exponents, exponents)
def test_descent_only_flips_the_sign(losses, saturation, importance):
    ascent, descent = (satimp_weights(losses, saturation, importance, up) for up in (True, False))
    np.testing.assert_array_equal(ascent, -descent)


def test_a_term_to_forget_combines_with_a_term_to_retain():
    chain = optax.chain(
        optax.masked(weighting.satimp_weighting(), {"forget": True, "retain": False}),
        optax.masked(optax.scale(0.1), {"forget": False, "retain": True}),
    )
    terms = {"forget": jnp.array([0.1, 2.0]), "retain": jnp.array([0.5, 0.7])}
    found, _ = weighting.weighted_mean(chain, terms, chain.init(terms))
    forget = satimp_weights(terms["forget"], 5.0, 0.1) * terms["forget"]
    np.testing.assert_allclose(found, forget.mean() + 0.1 * 0.6, rtol=1e-6)


def test_the_forget_loss_is_the_mean_over_valid_tokens():
    nll = -np.log([[0.5, 0.9, 0.7], [0.2, 0.5, 0.5]])
    where = np.array([[True, True, True], [True, False, False]])
    transform = weighting.satimp_weighting(5.0, 1.0)
    found, _ = weighting.weighted_mean(transform, jnp.array(nll), transform.init(nll), where=where)
    p = np.array([0.5, 0.9, 0.7, 0.2])
    np.testing.assert_allclose(found, (p**5 * (1 - p) * np.log(p)).mean(), rtol=1e-5)


@pytest.mark.parametrize("setting", ["saturation", "importance"])
def test_negative_exponents_are_refused(setting):
    with pytest.raises(ValueError, match=rf"{setting} is -1, but it must be in \[0, inf\)"):
        weighting.satimp_weighting(**{setting: -1})


# comp_sum_weighting and pass_at_n_weighting


@jax.jit
def comp_sum_weights(losses, tau):
    return weights_of(weighting.comp_sum_weighting(tau), losses)


@jax.jit
def pass_at_n_weights(losses, num_samples):
    return weights_of(weighting.pass_at_n_weighting(num_samples), losses)


@functools.partial(jax.jit, static_argnums=0)
def both_gradients(name, logits, labels, setting):
    """Returns the gradients of the logits, by the weighting and by the loss of the same name."""
    transform = getattr(weighting, f"{name}_weighting")(setting)

    def by_weighting(logits):
        nll = losses_.softmax_cross_entropy_loss(logits, labels)
        return weighting.weighted_mean(transform, nll, transform.init(nll))[0]

    def by_loss(logits):
        nll = losses_.softmax_cross_entropy_loss(logits, labels)
        return getattr(losses_, f"{name}_loss")(nll, setting).mean()

    return jax.grad(by_weighting)(logits), jax.grad(by_loss)(logits)


@pytest.mark.parametrize(
    ("name", "setting"), [("comp_sum", 0.0), ("comp_sum", 1.7), ("pass_at_n", 5.0)]
)
@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-5, 5, width=32, allow_subnormal=False)))
def test_the_weighting_has_the_gradient_of_the_loss_of_the_same_name(name, setting, logits):
    found, expected = both_gradients(name, logits, np.array([0, 1, 2, 0]), setting)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@given(positive_losses, st.floats(0, 3))
def test_the_comp_sum_weight_is_a_power_of_the_probability(losses, tau):
    expected = np.exp((1 - np.float64(np.float32(tau))) * losses)
    np.testing.assert_allclose(comp_sum_weights(losses, tau), expected, rtol=1e-4)


def test_comp_sum_weights_do_not_overflow():
    found = comp_sum_weights(np.array([79.0, 80.0, 81.0, 1e4]), 0.0)
    np.testing.assert_allclose(found, np.exp([79, 80, 80, 80]), rtol=1e-4)


@given(positive_losses, st.floats(1, 1000))
def test_the_pass_at_n_weight_is_the_slope_of_the_pass_at_n_loss(losses, num_samples):
    n, p = np.float64(np.float32(num_samples)), np.exp(-np.float64(losses))
    log_fail = np.log1p(-p)
    expected = n * p * np.exp((n - 1) * log_fail) / -np.expm1(n * log_fail)
    found = pass_at_n_weights(losses, num_samples)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-30)


def test_the_pass_at_n_weight_is_one_for_unsolvable_and_zero_for_solved_examples():
    found = pass_at_n_weights(np.array([0.0, 1e-38, 1e-6, 60.0, 90.0, 1e4]), 16.0)
    np.testing.assert_allclose(found, [0, 0, 0, 1, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: weighting.comp_sum_weighting(-0.1), r"tau is -0.1, but it must be in \[0, inf\)"),
        (
            lambda: weighting.pass_at_n_weighting(0),
            r"num_samples is 0, but it must be in \[1, inf\)",
        ),
    ],
)
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
