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

STRATEGIES = ["linupper", "quadratic", "extremes", "upper", "uniform"]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

# Sixteenths: what the tests do to them is exact in float32, and no two differ by mere rounding.
some_losses = hnp.arrays(np.float32, 8, elements=st.integers(0, 160).map(lambda n: n / 16))
some_mask = hnp.arrays(bool, 8)
positive_losses = hnp.arrays(
    np.float32, 8, elements=st.floats(2**-10, 40, width=32, allow_subnormal=False)
)


def weights_of(transform, losses, **extra_args):
    @jax.jit
    def update(losses, extra_args):
        weights = jnp.ones(losses.shape)
        return transform.update(weights, transform.init(losses), losses, **extra_args)[0]

    return update(losses, extra_args)


def several_weights(transform, batches):
    """The weights of one batch after the other."""
    update = jax.jit(lambda state, losses: transform.update(jnp.ones(losses.shape), state, losses))
    state, found = transform.init(batches[0]), []
    for losses in batches:
        weights, state = update(state, losses)
        found.append(weights)
    return np.stack(found)


def mean_of(values, where):
    return values[where].mean() if where.any() else 1.0


# loss_based_weighting


def loss_based(strategy="linupper", **settings):
    return weighting.loss_based_weighting(strategy, burn_in_steps=0, **settings)


@functools.partial(jax.jit, static_argnums=0)
def loss_based_weights(strategy, losses, where=True, temperature=0.5, delta=1.0):
    return weights_of(
        loss_based(strategy, temperature=temperature, delta=delta), losses, where=where
    )


def test_linupper_weights_worked_by_hand():
    # At -1, 0 and 1 of the range the scores are 0, 1 and 1.
    expected = 3 * np.exp([0, 1, 1]) / np.exp([0, 1, 1]).sum()
    found = loss_based_weights("linupper", np.array([1.0, 2.0, 3.0]), temperature=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_quadratic_weights_worked_by_hand():
    # The scores at -1/2 and 1/2 of the range are 3/4, whatever delta is.
    scores = np.array([0, 0.75, 0.75, 0])
    found = loss_based_weights("quadratic", np.array([0.0, 1.0, 3.0, 4.0]), delta=3.0)
    np.testing.assert_allclose(found, 4 * np.exp(2 * scores) / np.exp(2 * scores).sum(), rtol=1e-6)


@every_strategy
@given(some_losses, some_mask)
def test_loss_based_weights_average_to_one_over_what_counts(strategy, losses, where):
    weights = np.asarray(loss_based_weights(strategy, losses, where))
    np.testing.assert_allclose(mean_of(weights, where), 1, rtol=1e-5)


@every_strategy
@given(some_losses, st.sampled_from([0.5, 3, 16]), st.integers(-9, 9))
def test_loss_based_weights_know_neither_scale_nor_origin_of_the_losses(strategy, losses, a, b):
    found = loss_based_weights(strategy, np.float32(a) * losses + np.float32(b))
    np.testing.assert_allclose(found, loss_based_weights(strategy, losses), rtol=1e-4)


@every_strategy
def test_an_infinite_temperature_leaves_the_weights(strategy):
    found = loss_based_weights(strategy, np.arange(5.0), temperature=np.inf)
    np.testing.assert_array_equal(found, 1)


@every_strategy
@given(st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
def test_losses_that_are_all_equal_keep_their_weights(strategy, loss):
    found = loss_based_weights(strategy, np.full(7, loss, np.float32))
    np.testing.assert_array_equal(found, 1)


@given(some_losses)
def test_the_strategy_uniform_is_uniform(losses):
    np.testing.assert_array_equal(loss_based_weights("uniform", losses), 1)


@pytest.mark.parametrize("strategy", ["linupper", "upper"])
@given(some_losses)
def test_a_larger_loss_never_weighs_less(strategy, losses):
    weights = np.asarray(loss_based_weights(strategy, losses))
    assert (np.diff(weights[np.argsort(losses)]) >= -1e-6).all()


@given(some_losses)
def test_linupper_weighs_all_above_the_middle_alike(losses):
    weights = np.asarray(loss_based_weights("linupper", losses))
    upper = weights[losses >= (losses.max() + losses.min()) / 2]
    np.testing.assert_allclose(upper, weights.max(), rtol=1e-5)


@pytest.mark.parametrize(("strategy", "peak"), [("quadratic", 1), ("extremes", -1)])
@given(some_losses)
def test_weights_fall_or_rise_alike_on_both_sides_of_the_middle(strategy, peak, losses):
    weights = np.asarray(loss_based_weights(strategy, losses))
    from_middle = np.abs(losses - (losses.max() + losses.min()) / 2)
    order = np.argsort(from_middle)
    assert (peak * np.diff(weights[order]) <= 1e-5).all()
    alike = np.diff(from_middle[order]) == 0
    np.testing.assert_allclose(weights[order][1:][alike], weights[order][:-1][alike], rtol=1e-4)


def test_burn_in_leaves_the_weights_for_that_many_updates():
    losses = np.arange(4, dtype=np.float32)
    transform = weighting.loss_based_weighting(burn_in_steps=2)
    found = several_weights(transform, [losses] * 4)
    np.testing.assert_array_equal(found[:2], 1)
    np.testing.assert_array_equal(found[2:], [weights_of(loss_based(), losses)] * 2)
    assert not np.allclose(found[2], 1)


def test_by_default_the_losses_of_all_examples_and_steps_are_compared():
    losses = np.random.default_rng(0).uniform(size=(4, 3)).astype(np.float32)
    expected = weights_of(loss_based(), losses.ravel()).reshape(4, 3)
    np.testing.assert_allclose(weights_of(loss_based(), losses), expected, rtol=1e-6)


@pytest.mark.parametrize(("over", "axis"), [("steps", 0), ("batch", 1)])
def test_losses_may_be_compared_within_an_example_or_within_a_step(over, axis):
    losses = np.random.default_rng(0).uniform(size=(4, 3)).astype(np.float32)
    where = np.array([[True, True, True], [True, False, False], [True, True, False], [False] * 3])
    one_by_one = jax.vmap(
        lambda losses, where: weights_of(loss_based(), losses, where=where), axis, axis
    )
    found = weights_of(loss_based(over=over), losses, where=where)
    np.testing.assert_allclose(found, one_by_one(losses, where), rtol=1e-6)


def test_an_outlier_beyond_the_quantile_does_not_move_the_weights():
    losses = np.arange(11, dtype=np.float32)  # The 0.9 quantile is the tenth of them, 9.
    outlier = np.where(losses == 10, 1e6, losses)
    clipped = loss_based(clip_quantile=0.9)
    np.testing.assert_array_equal(weights_of(clipped, outlier), weights_of(clipped, losses))
    assert not np.allclose(weights_of(loss_based(), outlier), weights_of(loss_based(), losses))


def test_losses_below_the_lower_quantile_count_as_if_they_were_there():
    losses = np.array([-50.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 60])
    clipped = weights_of(loss_based("upper", clip_quantile=0.9), losses)
    np.testing.assert_allclose(
        clipped, weights_of(loss_based("upper"), losses.clip(1, 9)), rtol=1e-6
    )


def test_masked_losses_are_in_no_quantile():
    losses = np.append(np.arange(11, dtype=np.float32), [500, 600])
    where = losses < 100
    transform = loss_based(clip_quantile=0.9)
    found = weights_of(transform, losses, where=where)
    np.testing.assert_allclose(found[:11], weights_of(transform, losses[:11]), rtol=1e-6)
    assert np.isfinite(weights_of(transform, losses, where=losses < 0)).all()


def test_the_quantile_may_be_traced():
    losses = np.append(np.arange(10, dtype=np.float32), 1e6)
    scheduled = optax.inject_hyperparams(weighting.loss_based_weighting)(
        burn_in_steps=0, clip_quantile=0.9
    )
    found = jax.jit(lambda losses: weights_of(scheduled, losses))(losses)
    np.testing.assert_allclose(found, weights_of(loss_based(clip_quantile=0.9), losses), rtol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"strategy": "linuper"}, "did you mean 'linupper'"),
        ({"over": "step"}, "did you mean 'steps'"),
        ({"temperature": 0.0}, r"temperature is 0.0, but it must be in \(0, inf\]"),
        ({"delta": 0.0}, r"delta is 0.0, but it must be in \(0, inf\)"),
        ({"burn_in_steps": -1}, "burn_in_steps is -1"),
        ({"clip_quantile": 0.5}, r"clip_quantile is 0.5, but it must be in \(0.5, 1\]"),
        ({"clip_quantile": 0.9, "axis_name": "data"}, "no quantile can be taken"),
    ],
)
def test_loss_based_weighting_refuses_settings_out_of_range(setting, message):
    with pytest.raises(ValueError, match=message):
        weighting.loss_based_weighting(**setting)


def test_comparing_steps_without_an_axis_of_steps_is_an_error():
    with pytest.raises(ValueError, match=r"over='steps'.*shape \(4,\).*\[batch, steps\]"):
        weights_of(loss_based(over="steps"), np.ones(4))


# progressive_hardness_weighting

progressive = weighting.progressive_hardness_weighting
every_stat = pytest.mark.parametrize("statistics", ["batch", "ema"])


@functools.partial(jax.jit, static_argnums=0)
def progressive_weights(statistics, losses, hardness, where=True, clip=3.0):
    return weights_of(progressive(hardness, statistics, clip), losses, where=where)


def test_progressive_weights_worked_by_hand():
    # Two losses are one deviation above and below their mean.
    found = progressive_weights("batch", np.array([5.0, 1.0]), 0.7)
    np.testing.assert_allclose(found, 2 / (1 + np.exp([-1.4, 1.4])), rtol=1e-6)


@every_stat
@given(some_losses, some_mask, st.floats(-2, 2))
def test_progressive_weights_average_to_one_over_what_counts(statistics, losses, where, hardness):
    weights = np.asarray(progressive_weights(statistics, losses, hardness, where))
    np.testing.assert_allclose(mean_of(weights, where), 1, rtol=1e-5)


@given(some_losses, st.floats(-2, 2))
def test_weights_rise_with_the_loss_when_hardness_is_positive_and_fall_when_negative(losses, c):
    weights = np.asarray(progressive_weights("batch", losses, c))
    rises = np.diff(weights[np.argsort(losses)])
    assert (np.sign(c) * rises >= -1e-6).all()


def test_weights_tell_losses_apart_unless_the_hardness_is_zero():
    losses = np.array([1.0, 2.0, 4.0])
    assert (np.diff(progressive_weights("batch", losses, 0.5)) > 0.1).all()
    assert (np.diff(progressive_weights("batch", losses, -0.5)) < -0.1).all()


@given(some_losses, st.sampled_from([0.5, 3, 16]), st.integers(-9, 9))
def test_progressive_weights_know_neither_scale_nor_origin_of_the_losses(losses, a, b):
    found = progressive_weights("batch", np.float32(a) * losses + np.float32(b), 0.8)
    np.testing.assert_allclose(found, progressive_weights("batch", losses, 0.8), rtol=1e-3)


@given(some_losses, st.floats(-2, 2), st.floats(-0.1, 0.1))
def test_weights_move_no_faster_than_the_hardness_and_the_cut_allow(losses, hardness, change):
    before = progressive_weights("batch", losses, hardness, clip=2.0)
    after = progressive_weights("batch", losses, hardness + change, clip=2.0)
    assert (np.abs(np.log(after / before)) <= 2 * 2.0 * abs(change) + 1e-4).all()


@every_stat
@given(st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
def test_losses_without_variance_keep_their_weights(statistics, loss):
    found = progressive_weights(statistics, np.full(7, loss, np.float32), 1.5)
    np.testing.assert_array_equal(found, 1)


def test_the_cut_bounds_what_an_outlier_gets():
    losses = np.append(np.linspace(0, 1, 63), 1e6).astype(np.float32)
    weights = np.asarray(progressive_weights("batch", losses, 1.0, clip=2.0))
    # All others are, next to the outlier, one point 1 / sqrt(63) below the mean.
    np.testing.assert_allclose(weights[-1] / weights[0], np.exp(2 + 63**-0.5), rtol=1e-4)


def test_the_hardness_follows_a_schedule_of_the_updates():
    losses = np.array([1.0, 2.0, 5.0])
    schedule = optax.linear_schedule(-1.0, 1.0, 4)
    found = several_weights(progressive(schedule), [losses] * 6)
    expected = [progressive_weights("batch", losses, c) for c in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_moving_average_starts_as_the_first_batch():
    losses = np.array([1.0, 2.0, 5.0])
    found = progressive_weights("ema", losses, 0.8)
    np.testing.assert_allclose(found, progressive_weights("batch", losses, 0.8), rtol=1e-5)


def test_the_moving_average_is_the_batch_when_nothing_is_remembered():
    batches = np.random.default_rng(0).uniform(0, 3, (4, 6)).astype(np.float32)
    found = several_weights(progressive(0.8, "ema", decay=0.0), batches)
    expected = [progressive_weights("batch", losses, 0.8) for losses in batches]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_moving_average_is_of_all_batches_with_weights_that_decay():
    batches = np.random.default_rng(0).uniform(0, 3, (4, 6)) * [[1], [2], [5], [0.1]]
    found = several_weights(progressive(0.8, "ema", np.inf, decay=0.7), np.float32(batches))[-1]
    shares = 0.7 ** np.arange(4)[::-1]
    shares = np.repeat(shares / shares.sum() / 6, 6)
    mean = (shares * batches.ravel()).sum()
    deviation = np.sqrt((shares * (batches.ravel() - mean) ** 2).sum())
    powers = np.exp(0.8 * (batches[-1] - mean) / deviation)
    np.testing.assert_allclose(found, powers / powers.mean(), rtol=1e-4)


def test_the_cut_is_taken_around_the_remembered_mean():
    easy, hard = np.array([0.0, 1.0, 2.0]), np.array([100.0, 101.0, 102.0])
    _, last = several_weights(progressive(0.8, "ema", 0.5, decay=0.9), [easy, hard])
    np.testing.assert_allclose(last, 1, rtol=1e-6)  # All are cut to 0.5 deviations above.


def test_a_batch_without_a_loss_that_counts_is_not_remembered():
    losses, other = np.array([1.0, 2.0, 5.0]), np.array([7.0, 7.0, 9.0])
    transform = progressive(0.8, "ema", 0.5, decay=0.9)

    @jax.jit
    def update(state, losses, where):
        return transform.update(jnp.ones(3), state, losses, where=where)[1]

    first = update(transform.init(losses), losses, np.ones(3, bool))
    second = update(first, other, np.zeros(3, bool))
    np.testing.assert_array_equal(second.terms, first.terms)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hardness": float("nan")}, "hardness is nan"),
        ({"hardness": 1.0, "statistics": "emma"}, "did you mean 'ema'"),
        ({"hardness": 1.0, "clip": 0}, r"clip is 0, but it must be in \(0, inf\]"),
        ({"hardness": 1.0, "decay": 1}, r"decay is 1, but it must be in \[0, 1\)"),
    ],
)
def test_progressive_hardness_refuses_settings_out_of_range(setting, message):
    with pytest.raises(ValueError, match=message):
        progressive(**setting)


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
    """The focal loss and its gradient, by our weighting and by optax."""

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
def test_focal_weights_lie_in_zero_to_one_and_rise_with_the_loss(losses, gamma):
    weights = np.asarray(focal_weights(np.sort(losses), gamma))
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    assert (np.diff(weights) >= -1e-6).all()


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(-8, 8, width=32, allow_subnormal=False)),
    hnp.arrays(bool, 8),
    st.floats(0, 4),
)
def test_with_its_gradient_it_is_the_focal_loss_of_optax(logits, labels, gamma):
    labels = labels.astype(np.float32)
    (value, gradient), (expected, expected_gradient) = (
        binary_focal(logits, labels, gamma, ours) for ours in (True, False)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_the_focal_gradient_is_finite_at_losses_next_to_zero(gamma):
    losses = np.array([0.0, 1e-44, 1e-39, 1.2e-38, 1e-30, 1e-7, 200], np.float32)
    assert np.isfinite(focal_gradient(losses, gamma)).all()


def test_the_focal_weight_of_a_sure_prediction_is_one_at_gamma_zero():
    np.testing.assert_array_equal(focal_weights(np.zeros(2), 0.0), 1)


def test_losses_below_zero_weigh_as_zero():
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


def test_without_exponents_it_is_plain_gradient_ascent():
    np.testing.assert_array_equal(satimp_weights(np.array([0.0, 0.1, 3.0, 90.0]), 0.0, 0.0), -1)


@given(exponents, exponents)
def test_the_weight_is_largest_where_the_exponents_balance(saturation, importance):
    total = saturation + importance
    best = saturation / total
    probabilities = np.append(np.linspace(0.01, 0.99, 99), best)
    weights = -satimp_weights(-np.log(probabilities), saturation, importance)
    largest = saturation**saturation * importance**importance / total**total
    np.testing.assert_allclose(weights[-1], largest, rtol=1e-4)
    assert (weights <= weights[-1] * (1 + 1e-4)).all()


@given(positive_losses, exponents)
def test_without_importance_it_is_weighted_gradient_ascent(losses, saturation):
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


def test_the_weight_vanishes_for_what_is_forgotten():
    found = satimp_weights(np.array([5.0, 20.0, 1000.0]), 1.0, 1.0)
    np.testing.assert_allclose(found, [-np.exp(-5) + np.exp(-10), 0, 0], rtol=1e-5, atol=1e-8)


@given(positive_losses, exponents, exponents)
def test_descent_flips_the_sign_and_nothing_else(losses, saturation, importance):
    ascent, descent = (satimp_weights(losses, saturation, importance, up) for up in (True, False))
    np.testing.assert_array_equal(ascent, -descent)


def test_forgetting_joins_with_a_term_to_retain():
    chain = optax.chain(
        optax.masked(weighting.satimp_weighting(), {"forget": True, "retain": False}),
        optax.masked(optax.scale(0.1), {"forget": False, "retain": True}),
    )
    terms = {"forget": jnp.array([0.1, 2.0]), "retain": jnp.array([0.5, 0.7])}
    found, _ = weighting.weighted_mean(chain, terms, chain.init(terms))
    forget = satimp_weights(terms["forget"], 5.0, 1.0) * terms["forget"]
    np.testing.assert_allclose(found, forget.mean() + 0.1 * 0.6, rtol=1e-6)


def test_the_forget_loss_is_the_mean_over_the_tokens_that_count():
    nll = -np.log([[0.5, 0.9, 0.7], [0.2, 0.5, 0.5]])
    where = np.array([[True, True, True], [True, False, False]])
    transform = weighting.satimp_weighting()
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
    """The gradients of the logits, by the weighting and by the loss of losses."""
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
def test_the_weighting_trains_with_the_gradient_of_its_loss_of_losses(name, setting, logits):
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
def test_the_pass_at_n_weight_is_the_slope_of_pass_at_n(losses, num_samples):
    n, p = np.float64(np.float32(num_samples)), np.exp(-np.float64(losses))
    log_fail = np.log1p(-p)
    expected = n * p * np.exp((n - 1) * log_fail) / -np.expm1(n * log_fail)
    found = pass_at_n_weights(losses, num_samples)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-30)


def test_pass_at_n_weighs_what_is_never_solved_fully_and_what_always_is_not_at_all():
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
def test_settings_without_a_meaning_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
