import functools

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

nll = hnp.arrays(np.float32, 8, elements=st.floats(0, 30, width=32, allow_subnormal=False))


@jax.jit
def comp_sum(values, tau):
    return losses.comp_sum_loss(values, tau)


@jax.jit
def comp_sum_slope(values, tau):
    return jax.grad(lambda values: losses.comp_sum_loss(values, tau).sum())(values)


@given(nll)
def test_with_tau_one_comp_sum_is_the_loss_itself(values):
    np.testing.assert_array_equal(comp_sum(values, 1.0), values)


@given(nll)
def test_with_tau_two_comp_sum_is_the_mean_absolute_error(values):
    np.testing.assert_allclose(comp_sum(values, 2.0), -np.expm1(-np.float64(values)), rtol=1e-5)


@given(nll)
def test_with_tau_zero_comp_sum_is_the_sum_exponential_loss(values):
    np.testing.assert_allclose(comp_sum(values, 0.0), np.expm1(np.float64(values)), rtol=1e-5)


@given(nll, st.sampled_from([0.125, 0.5, 0.75]))
def test_with_tau_above_one_comp_sum_is_the_generalized_cross_entropy(values, q):
    expected = (1 - np.exp(-np.float64(values)) ** q) / q
    np.testing.assert_allclose(comp_sum(values, 1 + q), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ulps", [-1024, -64, -1, 1, 64, 1024])
def test_comp_sum_is_exact_next_to_tau_one(ulps):
    tau = np.float32(1 + ulps * 2.0**-23)
    values = np.array([1e-6, 0.1, 3, 40], np.float32)
    rate = 1 - np.float64(tau)
    expected = np.expm1(rate * values) / rate
    np.testing.assert_allclose(comp_sum(values, tau), expected, rtol=1e-6)


@given(nll, st.floats(0, 3, width=32, allow_subnormal=False))
def test_the_slope_of_comp_sum_is_a_power_of_the_probability(values, tau):
    expected = np.exp((1 - tau) * np.float64(values))
    np.testing.assert_allclose(comp_sum_slope(values, tau), expected, rtol=1e-4)


@given(nll, st.floats(0, 3, width=32, allow_subnormal=False))
def test_comp_sum_never_falls_as_the_loss_rises(values, tau):
    found = np.asarray(comp_sum(np.sort(values), tau))
    assert (np.diff(found) >= -1e-6 * np.abs(found[1:])).all()


@given(st.floats(0, 3, width=32, allow_subnormal=False))
def test_comp_sum_of_zero_is_zero(tau):
    assert comp_sum(np.zeros(2, np.float32), tau)[0] == 0


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(0, 1e6, width=32, allow_subnormal=False)),
    st.floats(1.125, 3),
)
def test_above_tau_one_comp_sum_is_bounded(values, tau):
    assert (comp_sum(values, tau) <= (1 + 1e-5) / (tau - 1)).all()


def test_below_tau_one_comp_sum_continues_along_its_tangent_before_it_overflows():
    values = np.array([79.0, 80.0, 81.0, 180.0, 1000.0], np.float32)
    found, slopes = comp_sum(values, 0.0), comp_sum_slope(values, 0.0)
    np.testing.assert_allclose(found, np.exp([79, 80, 80, 80, 80]) * [1, 1, 2, 101, 921], rtol=1e-4)
    np.testing.assert_allclose(slopes, np.exp([79, 80, 80, 80, 80]), rtol=1e-4)


def test_at_half_the_rate_the_tangent_begins_at_twice_the_loss():
    found = comp_sum(np.array([159.0, 160.0, 162.0], np.float32), 0.5)
    np.testing.assert_allclose(found, 2 * np.exp([79.5, 80, 80]) * [1, 1, 2], rtol=1e-4)


def test_an_infinite_loss_has_a_finite_comp_sum_above_tau_one():
    np.testing.assert_array_equal(comp_sum(np.array([np.inf]), 2.0), 1)


def test_every_token_is_transformed_by_itself():
    tokens = np.random.default_rng(0).uniform(0, 4, (2, 3)).astype(np.float32)
    where = np.array([[True, False, True], [True, True, True]])
    found = losses.comp_sum_loss(tokens, 2.0, where=where)
    np.testing.assert_allclose(found, np.where(where, 1 - np.exp(-tokens), 0), rtol=1e-5)


def test_the_second_derivative_of_comp_sum_is_finite_for_large_losses():
    values = np.array([20.0, 39.0, 40.0, 41.0, 79.0, 81.0, 300.0], np.float32)
    for tau in (0.0, 2.0):
        second = jax.grad(lambda values, tau=tau: comp_sum_slope(values, tau).sum())(values)
        assert np.isfinite(second).all()


def test_a_negative_tau_is_refused():
    with pytest.raises(ValueError, match=r"tau is -0.5, but it must be in \[0, inf\)"):
        losses.comp_sum_loss(np.ones(2), -0.5)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="'where' has shape"):
        losses.comp_sum_loss(np.ones(2), 1.5, where=np.ones(3, bool))


# smooth_adversarial_comp_sum_loss


@functools.partial(jax.jit, static_argnames=("where",))
def adversarial(logits, attacked, labels, tau=1.3, margin=1.0, strength=0.5, where=None):
    return losses.smooth_adversarial_comp_sum_loss(
        logits, attacked, labels, tau=tau, margin=margin, strength=strength, where=where
    )


some_logits = hnp.arrays(
    np.float32, (2, 4, 3), elements=st.floats(-6, 6, width=32, allow_subnormal=False)
)
LABELS = np.array([0, 2, 1, 2])


def test_the_adversarial_loss_equals_a_value_computed_by_hand():
    # Margins 3 - 1 and 3 - 2 of the label 0 move to 0 - 3 and 0 - (-1): by 5 and 0.
    found = adversarial(
        np.array([[3.0, 1.0, 2.0]]), np.array([[0.0, 3.0, -1.0]]), np.array([0]), 0.0, 0.5, 0.1
    )
    np.testing.assert_allclose(found, np.exp(-4) + np.exp(-2) + 0.1 * 5, rtol=1e-5)


@given(some_logits, st.sampled_from([0.0, 1.0, 1.5]))
def test_with_strength_zero_and_margin_one_the_adversarial_loss_is_comp_sum(logits, tau):
    found = adversarial(*logits, LABELS, tau, strength=0.0)
    expected = comp_sum(losses.softmax_cross_entropy_loss(logits[0], LABELS), tau)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(some_logits)
def test_an_attack_without_effect_adds_no_loss_and_keeps_a_finite_gradient(logits):
    (value, gradient), (expected, expected_gradient) = unmoved_and_plain(logits[0])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


@jax.jit
def unmoved_and_plain(logits):
    """Returns value and gradient with x' = x, and those of the plain comp-sum loss."""

    def unmoved(logits):
        return adversarial(logits, logits, LABELS).sum()

    def plain(logits):
        return losses.comp_sum_loss(losses.softmax_cross_entropy_loss(logits, LABELS), 1.3).sum()

    return jax.value_and_grad(unmoved)(logits), jax.value_and_grad(plain)(logits)


@given(
    some_logits,
    st.floats(-8, 8, width=32, allow_subnormal=False),
    st.floats(-8, 8, width=32, allow_subnormal=False),
)
def test_the_adversarial_loss_depends_only_on_differences_of_logits(logits, level, attacked_level):
    found = adversarial(logits[0] + level, logits[1] + attacked_level, LABELS)
    np.testing.assert_allclose(found, adversarial(*logits, LABELS), rtol=1e-3, atol=1e-4)


@given(some_logits)
def test_renaming_the_classes_does_not_change_the_adversarial_loss(logits):
    renamed = np.array([2, 0, 1])  # Class 2 becomes class 0, and so on.
    found = adversarial(*logits[..., renamed], np.argsort(renamed)[LABELS])
    np.testing.assert_allclose(found, adversarial(*logits, LABELS), rtol=1e-4, atol=1e-6)


@given(some_logits)
def test_the_strength_scales_the_distance_that_the_margins_move(logits):
    clean, once, twice = (adversarial(*logits, LABELS, strength=s) for s in (0.0, 1.0, 2.0))
    np.testing.assert_allclose(twice - clean, 2 * (once - clean), rtol=1e-3, atol=1e-3)
    margins = logits[:, np.arange(4), LABELS][..., None] - logits
    moved = np.linalg.norm(margins[1] - margins[0], axis=-1)
    np.testing.assert_allclose(once - clean, moved, rtol=1e-3, atol=1e-3)


@given(some_logits)
def test_the_gradient_of_the_attack_does_not_depend_on_tau(logits):
    by_attack = jax.grad(lambda x: adversarial(logits[0], x, LABELS, tau=0.5).sum())(logits[1])
    other_tau = jax.grad(lambda x: adversarial(logits[0], x, LABELS, tau=2.0).sum())(logits[1])
    np.testing.assert_array_equal(by_attack, other_tau)


def test_tokens_with_the_ignored_label_have_loss_zero():
    logits = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    labels = np.array([0, losses.IGNORE_LABEL, 1, 2])
    found = adversarial(*logits, labels)
    np.testing.assert_allclose(
        found, np.where(labels >= 0, adversarial(*logits, LABELS * 0 + [0, 0, 1, 2]), 0), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (4, 2), (4,)), r"adversarial_logits has shape \(4, 2\).*\[4, 3\]"),
        (((4, 3), (4, 3), (3,)), r"smooth_adversarial_comp_sum_loss: labels has shape \(3,\)"),
    ],
)
def test_adversarial_arguments_of_different_shapes_are_refused(shapes, message):
    logits, attacked, labels = shapes
    with pytest.raises(ValueError, match=message):
        adversarial(np.zeros(logits), np.zeros(attacked), np.zeros(labels, int))


@pytest.mark.parametrize(("setting", "value"), [("tau", -1), ("margin", 0), ("strength", -1)])
def test_adversarial_settings_out_of_range_are_refused(setting, value):
    settings = {"tau": 1.0, "margin": 1.0, "strength": 1.0, setting: value}
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        losses.smooth_adversarial_comp_sum_loss(np.zeros((1, 2)), np.zeros((1, 2)), [0], **settings)
