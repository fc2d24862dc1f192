import functools

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rax
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


@jax.jit
def pass_at_n(values, num_samples):
    return losses.pass_at_n_loss(values, num_samples)


@jax.jit
def pass_at_n_slope(values, num_samples):
    return jax.grad(lambda values: losses.pass_at_n_loss(values, num_samples).sum())(values)


# comp_sum


@given(nll)
def test_tau_one_is_the_loss_itself(values):
    np.testing.assert_array_equal(comp_sum(values, 1.0), values)


@given(nll)
def test_tau_two_is_the_mean_absolute_error(values):
    np.testing.assert_allclose(comp_sum(values, 2.0), -np.expm1(-np.float64(values)), rtol=1e-5)


@given(nll)
def test_tau_zero_is_the_sum_exponential_loss(values):
    np.testing.assert_allclose(comp_sum(values, 0.0), np.expm1(np.float64(values)), rtol=1e-5)


@given(nll, st.sampled_from([0.125, 0.5, 0.75]))
def test_tau_above_one_is_the_generalized_cross_entropy(values, q):
    expected = (1 - np.exp(-np.float64(values)) ** q) / q
    np.testing.assert_allclose(comp_sum(values, 1 + q), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ulps", [-1024, -64, -1, 1, 64, 1024])
def test_it_is_exact_next_to_tau_one(ulps):
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
def test_no_loss_stays_no_loss(tau):
    assert comp_sum(np.zeros(2, np.float32), tau)[0] == 0


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(0, 1e6, width=32, allow_subnormal=False)),
    st.floats(1.125, 3),
)
def test_above_tau_one_comp_sum_is_bounded(values, tau):
    assert (comp_sum(values, tau) <= (1 + 1e-5) / (tau - 1)).all()


def test_below_tau_one_comp_sum_goes_on_along_its_tangent_before_it_overflows():
    values = np.array([79.0, 80.0, 81.0, 180.0, 1000.0], np.float32)
    found, slopes = comp_sum(values, 0.0), comp_sum_slope(values, 0.0)
    np.testing.assert_allclose(found, np.exp([79, 80, 80, 80, 80]) * [1, 1, 2, 101, 921], rtol=1e-4)
    np.testing.assert_allclose(slopes, np.exp([79, 80, 80, 80, 80]), rtol=1e-4)


def test_at_half_the_rate_the_tangent_begins_twice_as_far():
    found = comp_sum(np.array([159.0, 160.0, 162.0], np.float32), 0.5)
    np.testing.assert_allclose(found, 2 * np.exp([79.5, 80, 80]) * [1, 1, 2], rtol=1e-4)


def test_an_infinite_loss_has_a_finite_comp_sum_above_tau_one():
    np.testing.assert_array_equal(comp_sum(np.array([np.inf]), 2.0), 1)


def test_tokens_are_bent_one_by_one():
    tokens = np.random.default_rng(0).uniform(0, 4, (2, 3)).astype(np.float32)
    where = np.array([[True, False, True], [True, True, True]])
    found = losses.comp_sum_loss(tokens, 2.0, where=where)
    np.testing.assert_allclose(found, np.where(where, 1 - np.exp(-tokens), 0), rtol=1e-5)


# smooth_adversarial_comp_sum_loss


@functools.partial(jax.jit, static_argnames=("where",))
def adversarial(logits, attacked, labels, tau=1.3, margin=1.0, strength=0.5, where=None):
    return losses.smooth_adversarial_comp_sum_loss(
        logits, attacked, labels, tau, margin, strength, where=where
    )


some_logits = hnp.arrays(
    np.float32, (2, 4, 3), elements=st.floats(-6, 6, width=32, allow_subnormal=False)
)
LABELS = np.array([0, 2, 1, 2])


def test_an_adversarial_loss_worked_by_hand():
    # Margins 3 - 1 and 3 - 2 of the label 0 move to 0 - 3 and 0 - (-1): by 5 and 0.
    found = adversarial(
        np.array([[3.0, 1.0, 2.0]]), np.array([[0.0, 3.0, -1.0]]), np.array([0]), 0.0, 0.5, 0.1
    )
    np.testing.assert_allclose(found, np.exp(-4) + np.exp(-2) + 0.1 * 5, rtol=1e-5)


@given(some_logits, st.sampled_from([0.0, 1.0, 1.5]))
def test_without_strength_and_with_margin_one_it_is_comp_sum(logits, tau):
    found = adversarial(*logits, LABELS, tau, strength=0.0)
    expected = comp_sum(losses.softmax_cross_entropy_loss(logits[0], LABELS), tau)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(some_logits)
def test_an_attack_that_moves_nothing_costs_nothing_and_has_a_gradient(logits):
    (value, gradient), (expected, expected_gradient) = without_a_move(logits[0])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


@jax.jit
def without_a_move(logits):
    """Value and gradient where x' is x, and those of the comp-sum loss alone."""

    def unmoved(logits):
        return losses.smooth_adversarial_comp_sum_loss(logits, logits, LABELS, 1.3, 1.0, 0.5).sum()

    def alone(logits):
        return losses.comp_sum_loss(losses.softmax_cross_entropy_loss(logits, LABELS), 1.3).sum()

    return jax.value_and_grad(unmoved)(logits), jax.value_and_grad(alone)(logits)


@given(
    some_logits,
    st.floats(-8, 8, width=32, allow_subnormal=False),
    st.floats(-8, 8, width=32, allow_subnormal=False),
)
def test_only_margins_count_not_the_level_of_the_logits(logits, level, attacked_level):
    found = adversarial(logits[0] + level, logits[1] + attacked_level, LABELS)
    np.testing.assert_allclose(found, adversarial(*logits, LABELS), rtol=1e-3, atol=1e-4)


@given(some_logits)
def test_classes_have_no_order(logits):
    renamed = np.array([2, 0, 1])  # The class that was 2 is 0, and so on.
    found = adversarial(*logits[..., renamed], np.argsort(renamed)[LABELS])
    np.testing.assert_allclose(found, adversarial(*logits, LABELS), rtol=1e-4, atol=1e-6)


@given(some_logits)
def test_the_strength_scales_how_far_the_margins_move(logits):
    clean, once, twice = (adversarial(*logits, LABELS, strength=s) for s in (0.0, 1.0, 2.0))
    np.testing.assert_allclose(twice - clean, 2 * (once - clean), rtol=1e-3, atol=1e-3)
    margins = logits[:, np.arange(4), LABELS][..., None] - logits
    moved = np.linalg.norm(margins[1] - margins[0], axis=-1)
    np.testing.assert_allclose(once - clean, moved, rtol=1e-3, atol=1e-3)


@given(some_logits)
def test_only_the_move_of_the_margins_depends_on_the_attack(logits):
    by_attack = jax.grad(lambda x: adversarial(logits[0], x, LABELS, tau=0.5).sum())(logits[1])
    other_tau = jax.grad(lambda x: adversarial(logits[0], x, LABELS, tau=2.0).sum())(logits[1])
    np.testing.assert_array_equal(by_attack, other_tau)


def test_ignored_labels_cost_nothing():
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
def test_adversarial_shapes_that_do_not_fit_are_an_error(shapes, message):
    logits, attacked, labels = shapes
    with pytest.raises(ValueError, match=message):
        adversarial(np.zeros(logits), np.zeros(attacked), np.zeros(labels, int))


@pytest.mark.parametrize(("setting", "value"), [("tau", -1), ("margin", 0), ("strength", -1)])
def test_adversarial_settings_out_of_range_are_refused(setting, value):
    settings = {"tau": 1.0, "margin": 1.0, "strength": 1.0, setting: value}
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        losses.smooth_adversarial_comp_sum_loss(np.zeros((1, 2)), np.zeros((1, 2)), [0], **settings)


# pass_at_n

answers = hnp.arrays(np.float32, 8, elements=st.floats(2**-10, 60, width=32, allow_subnormal=False))
budgets = st.floats(1, 2**12, width=32, allow_subnormal=False)


@given(answers)
def test_one_sample_leaves_the_losses(values):
    np.testing.assert_array_equal(pass_at_n(values, 1.0), values)


@given(answers, budgets)
def test_it_is_the_probability_that_one_of_n_samples_is_right(values, n):
    chance = -np.expm1(n * np.log1p(-np.exp(-np.float64(values))))
    np.testing.assert_allclose(pass_at_n(values, n), -np.log(chance), rtol=1e-4, atol=1e-6)


def test_two_samples_worked_by_hand():
    found = np.exp(-pass_at_n(-np.log([0.5, 0.2]), 2.0))
    np.testing.assert_allclose(found, [0.75, 0.36], rtol=1e-5)


@given(answers, budgets)
def test_its_slope_is_the_factor_of_the_paper(values, n):
    p = np.exp(-np.float64(values))
    factor = n * p * (1 - p) ** (n - 1) / -np.expm1(n * np.log1p(-p))
    np.testing.assert_allclose(pass_at_n_slope(values, n), factor, rtol=1e-3, atol=1e-30)


@given(
    hnp.arrays(np.float32, 8, elements=st.floats(0, 1000, width=32, allow_subnormal=False)), budgets
)
def test_its_slope_lies_in_zero_to_one(values, n):
    slopes = np.asarray(pass_at_n_slope(values, n))
    assert (slopes >= 0).all()
    assert (slopes <= 1).all()


def test_its_slope_does_not_pass_one_by_rounding():
    values = np.linspace(30, 45, 4096, dtype=np.float32)
    assert (pass_at_n_slope(values, 7.0) <= 1).all()


def test_small_losses_keep_their_digits():
    values = np.array([1e-3, 1e-8, 1e-16, 1e-20], np.float32)
    # (1 - p)^n is l^n to first order, and so is -log(1 - l^n).
    np.testing.assert_allclose(pass_at_n(values, 1.5), np.float64(values) ** 1.5, rtol=2e-3)


def test_its_slope_tends_to_one_for_the_unsolved_and_to_zero_for_the_solved():
    slopes = pass_at_n_slope(np.array([0.0, 1e-38, 1e-6, 60.0, 1000.0], np.float32), 8.0)
    np.testing.assert_allclose(slopes, [0, 0, 0, 1, 1], atol=1e-6)


@given(
    answers,
    st.floats(1, 64, width=32, allow_subnormal=False),
    st.floats(0, 64, width=32, allow_subnormal=False),
)
def test_more_samples_never_cost_more(values, n, more):
    fewer, many = pass_at_n(values, n), pass_at_n(values, n + more)
    assert (many <= fewer * (1 + 1e-5) + 1e-6).all()


@given(answers, budgets)
def test_an_answer_that_is_less_likely_never_costs_less(values, n):
    found = np.asarray(pass_at_n(np.sort(values), n))
    assert (np.diff(found) >= -1e-5 * (1 + found[1:])).all()


def test_where_the_probability_underflows_n_samples_are_n_times_as_likely():
    values = np.array([30.0, 39.9, 40.1, 88.0, 104.0, 5000.0], np.float32)
    np.testing.assert_allclose(pass_at_n(values, 16.0), values - np.log(16), rtol=1e-6)


def test_it_is_finite_with_both_derivatives_at_losses_next_to_zero():
    values = np.array([0.0, 1e-45, 1e-38, 1e-30, 1e-12], np.float32)
    for n in (1.0, 1.5, 2.0, 64.0):
        second = jax.grad(lambda values, n=n: pass_at_n_slope(values, n).sum())(values)
        found = np.stack([pass_at_n(values, n), pass_at_n_slope(values, n), second])
        assert np.isfinite(found).all(), n
        np.testing.assert_allclose(found[0], 0, atol=1e-11)


def test_both_derivatives_are_finite_for_large_losses():
    values = np.array([20.0, 39.0, 40.0, 41.0, 79.0, 81.0, 300.0], np.float32)
    for slope, setting in ((pass_at_n_slope, 16.0), (comp_sum_slope, 0.0), (comp_sum_slope, 2.0)):
        second = jax.grad(lambda values: slope(values, setting).sum())(values)  # noqa: B023
        assert np.isfinite(second).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.comp_sum_loss(np.ones(2), -0.5),
            r"tau is -0.5, but it must be in \[0, inf\)",
        ),
        (lambda: losses.pass_at_n_loss(np.ones(2), 0.5), r"num_samples is 0.5.*\[1, inf\)"),
        (
            lambda: losses.comp_sum_loss(np.ones(2), 1.5, where=np.ones(3, bool)),
            "'where' has shape",
        ),
        (lambda: losses.pass_at_n_loss(np.ones(2), 2, where=np.ones(3, bool)), "'where' has shape"),
    ],
)
def test_bad_arguments_of_losses_of_losses_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# loss_over_loss

BATCH, STEPS = 3, 5
step_losses = hnp.arrays(
    np.float32, (BATCH, STEPS), elements=st.floats(0, 8, width=32, allow_subnormal=False)
)
some_mask = hnp.arrays(bool, (BATCH, STEPS))


@functools.partial(jax.jit, static_argnames=("detach_shallow", "pairs"))
def over(values, strength=1.0, margin=0.0, detach_shallow=True, pairs="all", where=None):
    return losses.loss_over_loss(values, strength, margin, detach_shallow, pairs, where=where)


@functools.partial(jax.jit, static_argnames=("detach_shallow", "pairs"))
def over_gradient(values, margin=0.0, detach_shallow=True, pairs="all"):
    def total(values):
        return losses.loss_over_loss(values, 1.0, margin, detach_shallow, pairs).sum()

    return jax.grad(total)(values)


def mean_rise(example, margin, pairs="all", where=None):
    """The mean over the pairs of one example, by loops."""
    where = np.ones(len(example), bool) if where is None else where
    steps = np.flatnonzero(where)
    chosen = [(i, j) for i in steps for j in steps if i < j and (pairs == "all" or i + 1 == j)]
    rises = [max(0.0, float(example[j]) - float(example[i]) + margin) for i, j in chosen]
    return np.mean(rises) if rises else 0.0


def test_losses_over_losses_worked_by_hand():
    # Rises: 2 from step 1 to 2 and 1 from 1 to 3; three pairs, three steps.
    np.testing.assert_allclose(over(np.array([[1.0, 3.0, 2.0]])), [[1, 5, 3]])


def test_adjacent_pairs_worked_by_hand():
    # The one rise is 2, from step 1 to 2; two pairs, three steps.
    np.testing.assert_allclose(over(np.array([[1.0, 3.0, 2.0]]), pairs="adjacent"), [[1, 6, 2]])


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@given(step_losses, st.floats(0, 2), st.floats(-1, 1))
def test_its_mean_is_the_mean_loss_plus_the_mean_rise(pairs, values, strength, margin):
    found = over(values, strength, margin, pairs=pairs).mean(axis=1)
    rises = [mean_rise(example, margin, pairs) for example in values]
    expected = values.mean(axis=1) + strength * np.array(rises)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@given(step_losses, some_mask)
def test_masked_steps_form_no_pairs(pairs, values, where):
    found = np.asarray(over(np.where(where, values, np.nan), pairs=pairs, where=where))
    for example, valid, row in zip(values, where, found, strict=True):
        expected = example[valid].sum() + valid.sum() * mean_rise(example, 0.0, pairs, valid)
        np.testing.assert_allclose(row.sum(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@pytest.mark.parametrize("detach_shallow", [True, False])
@given(step_losses)
def test_losses_that_never_rise_are_left(pairs, detach_shallow, values):
    values = -np.sort(-values, axis=1)
    found = over(values, pairs=pairs, detach_shallow=detach_shallow)
    gradient = over_gradient(values, pairs=pairs, detach_shallow=detach_shallow)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(gradient, 1)


def test_one_step_is_left():
    values = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(over(values, margin=1.0), values)


@given(step_losses)
def test_without_strength_losses_are_left(values):
    np.testing.assert_array_equal(over(values, strength=0.0, margin=1.0), values)


@given(step_losses)
def test_the_pairs_at_margin_one_are_the_hinge_loss_of_rax(values):
    depth = np.broadcast_to(np.arange(STEPS, dtype=np.float32), values.shape)
    hinge = rax.pairwise_hinge_loss(-values, depth, reduce_fn=jnp.sum)
    rise = (over(values, margin=1.0) - values).sum() * (STEPS - 1) / 2  # P / S = (S - 1) / 2.
    np.testing.assert_allclose(rise, hinge, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pairs", ["all", "adjacent"])
@given(step_losses, st.floats(0, 1))
def test_detached_no_step_gains_by_a_worse_loss(pairs, values, margin):
    assert (over_gradient(values, margin, pairs=pairs) >= 1).all()


def test_attached_an_early_step_gains_by_a_worse_loss():
    # The pair of the two steps pulls the later down and pushes the earlier up, by S / P = 2.
    values = np.array([[1.0, 2.0]], np.float32)
    np.testing.assert_array_equal(over_gradient(values, detach_shallow=False), [[-1, 3]])
    np.testing.assert_array_equal(over_gradient(values, detach_shallow=True), [[1, 3]])


@given(step_losses, st.integers(-8, 8))
def test_what_an_example_loses_at_every_step_does_not_move_the_rises(values, level):
    values = np.round(values * 16) / 16  # So that nothing is lost in adding the level.
    found = over(values + np.float32(level)) - level
    np.testing.assert_allclose(found, over(values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": np.ones(3)}, r"shape \(3,\), but it must be \[batch, steps\]"),
        ({"losses": np.ones((1, 2)), "strength": -1}, "strength is -1"),
        ({"losses": np.ones((1, 2)), "margin": float("inf")}, "margin is inf"),
        ({"losses": np.ones((1, 2)), "pairs": "adjacnt"}, "did you mean 'adjacent'"),
    ],
)
def test_bad_arguments_of_loss_over_loss_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.loss_over_loss(**arguments)


def test_they_follow_any_cross_entropy():
    logits, labels = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32), np.array([0, 0])
    found = losses.pass_at_n_loss(
        optax.softmax_cross_entropy_with_integer_labels(logits, labels), 3
    )
    p = np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(found, -np.log(1 - (1 - p) ** 3), rtol=1e-5)
