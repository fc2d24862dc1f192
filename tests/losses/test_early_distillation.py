import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

SIZE, VOCAB = 4, 5
seeds, shares = st.integers(0, 10_000), st.floats(0, 1)

distillation = jax.jit(losses.early_distillation_loss)
gradient = jax.jit(jax.grad(lambda *args: losses.early_distillation_loss(*args).sum(), (0, 2)))


def example(seed):
    logits, teacher = np.random.default_rng(seed).normal(size=(2, SIZE, VOCAB)).astype(np.float32)
    return logits, np.random.default_rng(seed).integers(0, VOCAB, SIZE), teacher


@given(seeds)
def test_with_omega_zero_the_loss_is_the_cross_entropy_bit_for_bit(seed):
    logits, labels, teacher = example(seed)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_array_equal(distillation(logits, labels, teacher, 0.0, 2.0), expected)


@given(seeds)
def test_with_omega_one_the_loss_is_the_cross_entropy_with_the_teachers_prediction(seed):
    logits, labels, teacher = example(seed)
    expected = optax.softmax_cross_entropy(logits, jax.nn.softmax(teacher))
    np.testing.assert_allclose(distillation(logits, labels, teacher, 1.0), expected, rtol=1e-5)


@given(seeds, shares)
def test_the_gradient_is_the_prediction_minus_the_mixed_target(seed, omega):
    logits, labels, teacher = example(seed)
    target = (1 - omega) * np.eye(VOCAB)[labels] + omega * jax.nn.softmax(teacher)
    found = gradient(logits, labels, teacher, omega)[0]
    np.testing.assert_allclose(found, jax.nn.softmax(logits) - target, atol=1e-5)


@given(seeds, shares)
def test_a_teacher_that_is_certain_of_the_label_changes_nothing(seed, omega):
    logits, labels, _ = example(seed)
    teacher = np.where(np.eye(VOCAB, dtype=bool)[labels], 0, -np.inf).astype(np.float32)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    found = distillation(logits, labels, teacher, omega)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(seeds, st.floats(0.5, 8))
def test_the_temperature_divides_both_logits_and_its_square_scales_the_term(seed, temperature):
    logits, labels, teacher = example(seed)
    expected = temperature**2 * optax.softmax_cross_entropy(
        logits / temperature, jax.nn.softmax(teacher / temperature)
    )
    found = distillation(logits, labels, teacher, 1.0, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@given(seeds)
def test_the_temperature_does_not_change_the_term_with_the_label(seed):
    logits, labels, teacher = example(seed)
    both = [distillation(logits, labels, teacher, 0.0, t) for t in (1.0, 4.0)]
    np.testing.assert_array_equal(*both)


@given(seeds, shares)
def test_the_teacher_has_gradient_zero(seed, omega):
    np.testing.assert_array_equal(gradient(*example(seed), omega)[1], 0)


def test_a_class_that_teacher_and_student_rule_out_gives_finite_losses():
    logits, teacher = jnp.array([[0.0, 1.0, -jnp.inf]]), jnp.array([[1.0, 0.0, -jnp.inf]])
    found = gradient(logits, jnp.array([0]), teacher, 0.5)[0]
    assert np.isfinite(distillation(logits, jnp.array([0]), teacher, 0.5)).all()
    assert np.isfinite(found).all()


def test_tokens_with_the_ignored_label_have_loss_zero():
    logits, _, teacher = example(0)
    labels = np.array([1, losses.IGNORE_LABEL, 2, losses.IGNORE_LABEL])
    found = np.asarray(distillation(logits, labels, teacher, 0.5))
    np.testing.assert_array_equal(found == 0, labels == losses.IGNORE_LABEL)


def test_every_token_of_a_sequence_has_its_own_loss():
    logits, labels, teacher = example(0)
    found = distillation(logits[None], labels[None], teacher[None], 0.3)
    np.testing.assert_allclose(found[0], distillation(logits, labels, teacher, 0.3), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"omega": 1.5}, r"omega is 1.5, but it must be in \[0, 1\]"),
        ({"temperature": 0.0}, r"temperature is 0.0, but it must be in \(0, inf\)"),
        ({"labels": np.zeros(3, int)}, r"labels has shape \(3,\)"),
        ({"teacher_logits": np.zeros((4, 6))}, r"teacher_logits has shape \(4, 6\)"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = dict(zip(("logits", "labels", "teacher_logits"), example(0), strict=True))
    with pytest.raises(ValueError, match=message):
        losses.early_distillation_loss(**arguments | {"omega": 0.5} | change)
