import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

BATCH, CLASSES = 6, 4
seeds = st.integers(0, 2**31)
alphas = st.floats(0, 3)

STATIC = ("squared", "per", "detach_factor")
dice = jax.jit(losses.self_adjusting_dice_loss, static_argnames=STATIC)


@functools.partial(jax.jit, static_argnames=STATIC)
def gradient(logits, labels, **settings):
    total = lambda logits: losses.self_adjusting_dice_loss(logits, labels, **settings).sum()  # noqa: E731
    return jax.grad(total)(logits)


def one_class(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=2, size=BATCH).astype(np.float32), rng.integers(0, 2, BATCH)


def several_classes(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(BATCH, CLASSES)).astype(np.float32)
    return logits, rng.integers(0, CLASSES, BATCH)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def softmax(x):
    powers = np.exp(np.float64(x) - np.max(x, axis=-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def coefficient(p, y, alpha, smoothing, squared=False):
    u = (1 - p) ** alpha * p
    return (2 * u * y + smoothing) / ((u**2 if squared else u) + y + smoothing)


@given(seeds, alphas, st.floats(0.01, 2), st.booleans())
def test_the_loss_is_one_minus_the_self_adjusted_coefficient(seed, alpha, smoothing, squared):
    logits, labels = one_class(seed)
    expected = 1 - coefficient(sigmoid(logits), labels, alpha, smoothing, squared)
    found = dice(logits, labels, alpha=alpha, smoothing=smoothing, squared=squared)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(seeds, alphas)
def test_with_several_classes_the_loss_is_the_mean_of_each_against_the_rest(seed, alpha):
    logits, labels = several_classes(seed)
    each = 1 - coefficient(softmax(logits), np.eye(CLASSES)[labels], alpha, 1)
    np.testing.assert_allclose(
        dice(logits, labels, alpha=alpha), each.mean(1), rtol=1e-4, atol=1e-6
    )


@given(seeds, st.floats(0.1, 3))
def test_without_the_factor_the_loss_of_a_batch_is_optaxs_binary_dice_loss(seed, smoothing):
    logits, labels = one_class(seed)
    expected = optax.losses.binary_dice_loss(
        logits[None, :, None], labels[None, :, None], smooth=smoothing / 2
    )
    found = dice(logits, labels, alpha=0.0, smoothing=smoothing, per="batch")
    np.testing.assert_allclose(found, np.repeat(expected, BATCH), rtol=1e-5)


@given(seeds)
def test_without_the_factor_the_loss_of_several_classes_is_optaxs_dice_loss(seed):
    logits, labels = several_classes(seed)
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    expected = optax.losses.dice_loss(logits[None], targets[None], smooth=0.5)
    found = dice(logits, labels, alpha=0.0, per="batch")
    np.testing.assert_allclose(found, np.repeat(expected, BATCH), rtol=1e-5)


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_with_other_weights_the_loss_is_optaxs_tversky_loss(seed, false_positive, false_negative):
    logits, labels = one_class(seed)
    expected = optax.losses.dice_loss(
        logits[None, :, None],
        labels[None, :, None],
        smooth=0.5,
        alpha=false_positive,
        beta=false_negative,
    )
    found = dice(
        logits,
        labels,
        alpha=0.0,
        per="batch",
        false_positive_weight=false_positive,
        false_negative_weight=false_negative,
    )
    np.testing.assert_allclose(found, np.repeat(expected, BATCH), rtol=1e-4, atol=1e-6)


@given(seeds, alphas)
def test_the_loss_of_a_batch_is_a_ratio_of_sums(seed, alpha):
    logits, labels = one_class(seed)
    u = (1 - sigmoid(logits)) ** alpha * sigmoid(logits)
    expected = 1 - (2 * (u * labels).sum() + 1) / (u.sum() + labels.sum() + 1)
    np.testing.assert_allclose(dice(logits, labels, alpha=alpha, per="batch"), expected, rtol=1e-4)


@given(seeds, alphas, st.booleans())
def test_with_a_detached_factor_the_gradient_moves_the_probability_towards_the_label(
    seed, alpha, squared
):
    logits, labels = one_class(seed)
    signs = np.sign(gradient(logits, labels, alpha=alpha, squared=squared))
    np.testing.assert_array_equal(signs, np.where(labels == 1, -1, 1))


def test_with_a_differentiated_factor_the_gradient_has_the_wrong_sign_above_one_half():
    logits = np.float32([-1, 1, -1, 1])
    labels = np.array([1, 1, 0, 0])
    signs = np.sign(gradient(logits, labels, detach_factor=False))
    np.testing.assert_array_equal(signs, [-1, 1, 1, -1])


@given(seeds, alphas)
def test_detaching_the_factor_does_not_change_the_value(seed, alpha):
    logits, labels = one_class(seed)
    found = dice(logits, labels, alpha=alpha, detach_factor=False)
    np.testing.assert_array_equal(found, dice(logits, labels, alpha=alpha))


def test_a_wrong_and_a_right_prediction_can_have_the_same_loss():
    logits = np.log(np.float32([0.1 / 0.9, 0.9 / 0.1]))
    wrong, right = dice(logits, np.array([1, 1]))
    np.testing.assert_allclose(wrong, right, rtol=1e-5)


@given(seeds, alphas, st.floats(0.01, 3))
def test_the_loss_lies_between_zero_and_one(seed, alpha, smoothing):
    logits, labels = one_class(seed)
    found = dice(10 * logits, labels, alpha=alpha, smoothing=smoothing)
    assert np.all((found >= -1e-6) & (found < 1))


@given(st.floats(-5, 8))
def test_a_larger_alpha_trains_a_positive_less(logit):
    sizes = [
        -gradient(np.float32([logit]), np.array([1]), alpha=a)[0] for a in (0.0, 0.5, 1.0, 2.0)
    ]
    assert np.all(np.diff(sizes) < 0)


@given(st.floats(-5, 8))
def test_a_larger_alpha_trains_a_negative_less_with_smoothing_one(logit):
    sizes = [gradient(np.float32([logit]), np.array([0]), alpha=a)[0] for a in (0.0, 0.5, 1.0, 2.0)]
    assert np.all(np.diff(sizes) < 0)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
@pytest.mark.parametrize("detach", [True, False])
def test_the_gradient_of_saturated_probabilities_is_finite(alpha, logit, detach):
    settings = {"alpha": alpha, "detach_factor": detach}
    binary = gradient(np.float32([logit, logit]), np.array([0, 1]), **settings)
    classes = gradient(np.float32([[logit, 0], [logit, 0]]), np.array([0, 1]), **settings)
    assert np.isfinite(binary).all()
    assert np.isfinite(classes).all()


def test_without_the_factor_saturated_probabilities_have_loss_zero_or_one_half():
    logits, labels = np.float32([-200, 200, -200, 200]), np.array([0, 1, 1, 0])
    np.testing.assert_allclose(dice(logits, labels, alpha=0.0), [0, 0, 1 / 2, 1 / 2], atol=1e-6)


def test_masked_examples_do_not_enter_the_sums_of_a_batch():
    logits, labels = several_classes(0)
    where = np.arange(BATCH) != 1
    hidden = np.where(where[:, None], logits, np.nan)
    found = dice(hidden, labels, per="batch", where=where)
    expected = dice(logits[where], labels[where], per="batch")
    np.testing.assert_allclose(found, np.insert(expected, 1, 0), rtol=1e-6)
    slope = gradient(hidden, labels, per="batch", where=where)
    assert np.isfinite(slope).all()
    assert not np.any(slope[1])


def test_ignored_labels_do_not_count():
    logits, labels = several_classes(0)
    labels[1] = losses.IGNORE_LABEL
    assert dice(logits, labels)[1] == 0


def test_every_token_of_a_sequence_has_its_own_loss():
    logits, labels = several_classes(0)
    tokens = dice(logits.reshape(2, 3, CLASSES), labels.reshape(2, 3))
    np.testing.assert_allclose(tokens, dice(logits, labels).reshape(2, 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("alpha", -1), ("smoothing", 0), ("false_positive_weight", -1), ("false_negative_weight", -1)],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        losses.self_adjusting_dice_loss(*one_class(0), **{setting: value})


def test_the_error_for_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'example'"):
        losses.self_adjusting_dice_loss(*one_class(0), per="examples")


@pytest.mark.parametrize("labels", [jnp.zeros(BATCH - 1, int), jnp.zeros((BATCH, CLASSES + 1))])
def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(ValueError, match="labels has shape"):
        losses.self_adjusting_dice_loss(several_classes(0)[0], labels)
