"""The gradient of the bilevel penalty, and the weighting of domains that descends it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cgar_jax import weighting
from tests.weighting.noisy_labels import DIMENSION, example_losses, noisy_data

BATCH, DOMAINS = 8, 3
bilevel = weighting.first_order_bilevel_weighting
domain_gradient = jax.jit(weighting.bilevel_domain_gradient)


def vectors(size, bound):
    return arrays.arrays(np.float32, size, elements=st.floats(-bound, bound, width=32))


all_domains = np.arange(BATCH) % DOMAINS
some_domains = arrays.arrays(np.int32, BATCH, elements=st.integers(0, DOMAINS - 1))


@jax.jit
def gradient_by_autodiff(logits, losses, shadow_losses):
    def training_loss(logits, losses):
        means = [losses[all_domains == k].mean() for k in range(DOMAINS)]
        return jax.nn.softmax(logits) @ jnp.stack(means)

    return jax.grad(lambda lam: training_loss(lam, losses) - training_loss(lam, shadow_losses))(
        logits
    )


@given(vectors(DOMAINS, 3), vectors(BATCH, 5), vectors(BATCH, 5))
def test_the_gradient_equals_autodiff_of_the_training_losses(logits, losses, shadow_losses):
    found = domain_gradient(logits, losses, shadow_losses, all_domains)
    expected = gradient_by_autodiff(logits, losses, shadow_losses)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@given(vectors(DOMAINS, 3), vectors(BATCH, 5), vectors(BATCH, 5))
def test_the_gradient_sums_to_zero(logits, losses, shadow_losses):
    found = domain_gradient(logits, losses, shadow_losses, all_domains)
    np.testing.assert_allclose(found.sum(), 0, atol=1e-5)


@given(vectors(DOMAINS, 3), vectors(BATCH, 5), some_domains)
def test_the_gradient_is_zero_if_the_shadow_equals_the_model(logits, losses, domain_ids):
    np.testing.assert_array_equal(domain_gradient(logits, losses, losses, domain_ids), 0)


@given(vectors(DOMAINS, 3), vectors(BATCH, 5), vectors(BATCH, 5), some_domains)
def test_absent_domains_have_gradient_zero(logits, losses, shadow, domain_ids):
    found = domain_gradient(logits, losses, shadow, domain_ids)
    np.testing.assert_array_equal(found[np.bincount(domain_ids, minlength=DOMAINS) == 0], 0)


def test_present_domains_are_compared_only_with_each_other():
    # The absent domain 2 has share 1/2; domains 0 and 1 have shares 1/4 and gaps 1 and 3.
    logits = jnp.log(jnp.array([0.25, 0.25, 0.5]))
    found = domain_gradient(logits, jnp.array([1.0, 3.0]), jnp.zeros(2), jnp.array([0, 1]))
    np.testing.assert_allclose(found, [-0.25, 0.25, 0], rtol=1e-6)


@given(vectors(DOMAINS, 3), vectors(BATCH, 5))
def test_logits_fall_where_the_gap_is_above_average_and_rise_where_it_is_below(logits, gaps):
    found = domain_gradient(logits, gaps, np.zeros(BATCH, np.float32), all_domains)
    gap = np.array([gaps[all_domains == k].mean() for k in range(DOMAINS)], np.float64)
    share = np.exp(logits.astype(np.float64))
    above = gap - share @ gap / share.sum()
    clear = np.abs(above) > 1e-4
    np.testing.assert_array_equal(np.sign(found)[clear], np.sign(above)[clear])


@given(vectors(2, 3), vectors(2, 5))
def test_with_two_domains_the_one_with_the_larger_gap_loses_share(logits, gaps):
    found = domain_gradient(logits, gaps, np.zeros(2, np.float32), np.arange(2))
    before, after = jax.nn.softmax(logits), jax.nn.softmax(logits - 0.1 * found)
    worse = np.argmax(gaps)
    assert after[worse] <= before[worse] + 1e-6


def test_with_three_domains_one_above_average_can_gain_share():
    share = jnp.array([0.1, 0.6, 0.3])
    gaps = jnp.array([0.1, 1.0, -0.61 / 0.3])
    np.testing.assert_allclose(share @ gaps, 0, atol=1e-6)
    found = domain_gradient(jnp.log(share), gaps, jnp.zeros(3), jnp.arange(3))
    after = jax.nn.softmax(jnp.log(share) - 0.1 * found)
    assert found[0] > 0
    assert after[0] > share[0]


def test_masked_losses_do_not_affect_the_gradient():
    losses = jnp.array([1.0, 3.0, jnp.nan, 2.0])
    where = jnp.array([True, True, False, True])
    found = weighting.bilevel_domain_gradient(
        jnp.zeros(2), losses, jnp.zeros(4), jnp.array([0, 1, 1, 0]), where=where
    )
    # The gaps are 3/2 and 3, the shares 1/2.
    np.testing.assert_allclose(found, [-3 / 8, 3 / 8], rtol=1e-6)


def updated(weigh, losses, state=None, **extra_args):
    state = weigh.init(losses) if state is None else state
    return weigh.update(jnp.ones_like(losses), state, losses, **extra_args)


def learned(weigh, steps=1, state=None):
    """Returns weights and state after updates in which domain 0 is furthest behind the shadow."""
    losses = jnp.array([5.0, 2.0, 1.0])
    for _ in range(steps):
        weights, state = updated(
            weigh, losses, state, domain_ids=jnp.arange(3), shadow_losses=jnp.ones(3)
        )
    return weights, state


def test_an_update_takes_a_step_against_the_gradient():
    _, state = learned(bilevel(3, learning_rate=0.3, clip=None))
    gradient = domain_gradient(jnp.zeros(3), jnp.array([5.0, 2.0, 1.0]), jnp.ones(3), jnp.arange(3))
    np.testing.assert_allclose(state.terms, -0.3 * gradient, rtol=1e-6)


def test_an_update_moves_logits_by_at_most_the_clip():
    _, state = learned(bilevel(3, learning_rate=1.0, clip=0.25))
    gradient = domain_gradient(jnp.zeros(3), jnp.array([5.0, 2.0, 1.0]), jnp.ones(3), jnp.arange(3))
    assert np.abs(gradient).max() > 0.25
    np.testing.assert_allclose(state.terms, np.clip(-gradient, -0.25, 0.25), rtol=1e-6)


def test_the_weights_belong_to_the_new_state():
    weigh = bilevel(3, learning_rate=0.3)
    weights, state = learned(weigh)
    alone, _ = updated(weigh, jnp.ones(3), state, domain_ids=jnp.arange(3))
    np.testing.assert_array_equal(weights, alone)
    np.testing.assert_allclose(weights, 3 * jax.nn.softmax(state.terms), rtol=1e-6)


def test_without_shadow_losses_the_logits_do_not_change():
    weigh = bilevel(3, learning_rate=0.3)
    _, state = learned(weigh)
    _, after = updated(weigh, jnp.array([7.0, 0.0, 1.0]), state, domain_ids=jnp.arange(3))
    np.testing.assert_array_equal(after.terms, state.terms)


def test_initially_all_weights_are_one():
    weights, _ = updated(bilevel(41, learning_rate=0.3), jnp.ones(8), domain_ids=jnp.arange(8))
    np.testing.assert_array_equal(weights, 1)


def test_domain_weights_have_mean_one():
    weights, _ = learned(bilevel(3, learning_rate=3.0), steps=4)
    assert weights[0] < 0.5
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-6)


def test_with_equally_many_losses_per_domain_the_weighted_mean_is_the_training_loss():
    weigh = bilevel(3, learning_rate=1.0)
    _, state = learned(weigh, steps=2)
    losses, domain_ids = jnp.array([1.0, 4.0, 2.0, 5.0, 0.0, 3.0]), jnp.array([0, 0, 1, 1, 2, 2])
    found, _ = weighting.weighted_mean(weigh, losses, state, domain_ids=domain_ids)
    expected = jax.nn.softmax(state.terms) @ losses.reshape(3, 2).mean(1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@functools.partial(jax.jit, static_argnums=1)
def train_on_parabolas(centers, wanted, penalty=10.0):
    """Returns w, u and the shares after training on domains with losses (x - c)^2 / 2.

    The validation loss is the loss of one of the domains.
    """
    weigh = bilevel(3, learning_rate=0.02 * penalty)
    ids = jnp.arange(3)
    losses = lambda x: jnp.square(x - centers) / 2  # noqa: E731

    def step(carry, _):
        w, u, state = carry

        def penalized(w):
            training, aux = weighting.weighted_mean(
                weigh, losses(w), state, domain_ids=ids, shadow_losses=losses(u)
            )
            return jnp.square(w - centers[wanted]) / 2 + penalty * training, aux

        def shadowed(u):
            return weighting.weighted_mean(weigh, losses(u), state, domain_ids=ids)[0]

        w_gradient, (state, _) = jax.grad(penalized, has_aux=True)(w)
        return (w - 0.02 * w_gradient, u - 0.2 * jax.grad(shadowed)(u), state), None

    start = 0.0, 0.0, weigh.init(jnp.ones(3))
    (w, u, state), _ = jax.lax.scan(step, start, length=4000)
    return w, u, jax.nn.softmax(state.terms)


@pytest.mark.parametrize("wanted", [0, 2])
def test_the_domain_of_the_validation_loss_gets_nearly_all_weight(wanted):
    centers = np.array([-1.0, 0.5, 2.0], np.float32)
    w, u, shares = train_on_parabolas(centers, wanted)
    assert shares[wanted] > 0.95
    np.testing.assert_allclose([w, u], centers[wanted], atol=0.15)


def test_weights_stay_equal_if_the_equal_mixture_has_the_validation_optimum():
    w, u, shares = train_on_parabolas(np.array([-1.0, 0.5, 2.0], np.float32), 1)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.01)
    np.testing.assert_allclose([w, u], 0.5, atol=0.01)


def test_the_domain_with_right_labels_wins_over_the_one_with_flipped_labels():
    inputs, truth, _ = noisy_data(0, 128, 0)
    domain_ids = jnp.arange(128) % 2
    labels = jnp.where(domain_ids == 0, truth, 1 - truth)
    clean = noisy_data(1, 32, 0)[:2]
    penalty, rate = 3.0, 0.1
    weigh = bilevel(2, learning_rate=0.3 * penalty)
    losses = lambda params: example_losses(params, inputs, labels)  # noqa: E731

    def step(carry, _):
        w, u, state = carry

        def penalized(w):
            training, aux = weighting.weighted_mean(
                weigh, losses(w), state, domain_ids=domain_ids, shadow_losses=losses(u)
            )
            return example_losses(w, *clean).mean() + penalty * training, aux

        def shadowed(u):
            return weighting.weighted_mean(weigh, losses(u), state, domain_ids=domain_ids)[0]

        gradient, (state, _) = jax.grad(penalized, has_aux=True)(w)
        return (w - rate * gradient, u - rate * jax.grad(shadowed)(u), state), None

    start = jnp.zeros(DIMENSION), jnp.zeros(DIMENSION), weigh.init(jnp.ones(128))
    (w, _, state), _ = jax.lax.scan(step, start, length=200)
    weights, _ = updated(weigh, losses(w), state, domain_ids=domain_ids)
    assert weights[1] < 0.5 * weights[0]
    assert jnp.mean((inputs @ w > 0) == truth) > 0.9


def test_the_learning_rate_follows_a_schedule_in_a_chain():
    schedule = optax.piecewise_constant_schedule(0.0, {})
    inject = optax.inject_hyperparams(bilevel, static_args=("num_domains",))
    still = optax.chain(inject(3, learning_rate=schedule), weighting.unit_mean_weighting())
    moving = optax.chain(
        inject(3, learning_rate=lambda count: 0.3), weighting.unit_mean_weighting()
    )
    np.testing.assert_array_equal(learned(still)[0], 1)
    expected, _ = learned(bilevel(3, learning_rate=0.3))
    np.testing.assert_allclose(learned(moving)[0], expected, rtol=1e-6)


def test_shadow_losses_with_several_terms_raise_an_error_that_suggests_a_fix():
    weigh, losses = bilevel(3, learning_rate=0.3), {"answer": jnp.ones(3), "halt": jnp.ones(3)}
    with pytest.raises(ValueError, match=r"'shadow_losses' belongs to one.*2 terms.*optax\.masked"):
        weigh.update(
            losses,
            weigh.init(losses),
            losses,
            domain_ids=jnp.arange(3),
            shadow_losses=jnp.ones(3),
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_domains": 0, "learning_rate": 1.0}, "num_domains is 0"),
        ({"num_domains": 2, "learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"num_domains": 2, "learning_rate": 1.0, "clip": 0.0}, "clip is 0.0"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"{message}, but it must be in"):
        bilevel(**settings)


@pytest.mark.parametrize("argument", ["shadow_losses", "domain_ids", "logits"])
def test_an_array_of_the_wrong_shape_raises_an_error_that_names_it(argument):
    arguments = {
        "logits": jnp.zeros(2),
        "losses": jnp.ones(4),
        "shadow_losses": jnp.ones(4),
        "domain_ids": jnp.zeros(4, int),
    }
    arguments[argument] = jnp.zeros((3, 3), arguments[argument].dtype)
    message = rf"bilevel_domain_gradient: {argument} has shape \(3, 3\)"
    with pytest.raises(ValueError, match=message):
        weighting.bilevel_domain_gradient(**arguments)


def test_no_gradient_flows_through_the_learned_weights():
    weigh = bilevel(3, learning_rate=0.3)

    @functools.partial(jax.grad, argnums=(0, 1))
    def gradient(losses, shadow_losses):
        weights, state = updated(
            weigh, losses, domain_ids=jnp.arange(3), shadow_losses=shadow_losses
        )
        return weights[0] + state.terms[0]

    np.testing.assert_array_equal(gradient(jnp.array([5.0, 2.0, 1.0]), jnp.ones(3)), 0)
