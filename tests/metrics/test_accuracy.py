import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import metrics
from cgar_jax.losses import IGNORE_LABEL, masked_mean

ACCURACIES = [metrics.exact_accuracy_metric, metrics.cell_accuracy_metric]
every_accuracy = pytest.mark.parametrize("metric", ACCURACIES)
LABELS = np.array([[1, 2, 3, 0], [1, IGNORE_LABEL, 3, IGNORE_LABEL], [IGNORE_LABEL] * 4])
ANSWERS = np.array([[1, 2, 0, 0], [1, 9, 3, 9], [0, 0, 0, 0]])


def test_an_example_is_exact_if_every_labeled_cell_is_right():
    np.testing.assert_array_equal(metrics.exact_accuracy_metric(ANSWERS, LABELS), [0, 1, 0])


def test_cell_accuracy_is_the_fraction_of_labeled_cells_that_are_right():
    np.testing.assert_array_equal(metrics.cell_accuracy_metric(ANSWERS, LABELS), [0.75, 1, 0])


def test_masked_cells_do_not_count():
    where = np.array([[True, True, False, True], [False, True, True, True], [True] * 4])
    np.testing.assert_array_equal(
        metrics.exact_accuracy_metric(ANSWERS, LABELS, where=where), [1, 1, 0]
    )
    np.testing.assert_array_equal(
        metrics.cell_accuracy_metric(ANSWERS, LABELS, where=np.array([True, False, True])),
        [0.75, 0, 0],
    )


def test_examples_without_a_labeled_cell_are_left_out_of_the_mean():
    counted = metrics.labeled_examples(LABELS)
    np.testing.assert_array_equal(counted, [True, True, False])
    assert masked_mean(metrics.exact_accuracy_metric(ANSWERS, LABELS), where=counted) == 0.5


def test_a_mask_can_exclude_all_cells_of_an_example():
    counted = metrics.labeled_examples(LABELS, where=np.array([True, False, True]))
    np.testing.assert_array_equal(counted, [True, False, False])


@every_accuracy
@given(st.integers(0, 2**31))
def test_logits_are_read_as_their_most_likely_token(metric, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, 4, 5)).astype(np.float32)
    labels = rng.integers(0, 5, (3, 4))
    np.testing.assert_array_equal(metric(logits, labels), metric(logits.argmax(-1), labels))


@every_accuracy
def test_one_label_serves_the_answers_of_many_steps(metric):
    steps = np.stack([ANSWERS, LABELS])
    expected = np.stack([metric(ANSWERS, LABELS), metric(LABELS, LABELS)])
    np.testing.assert_array_equal(metric(steps, LABELS), expected)


@every_accuracy
def test_accuracies_are_float32_under_jit(metric):
    found = jax.jit(metric)(ANSWERS, LABELS)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, metric(ANSWERS, LABELS))


@every_accuracy
def test_an_empty_batch_gives_an_empty_result(metric):
    assert metric(ANSWERS[:0], LABELS[:0]).shape == (0,)


@every_accuracy
def test_labels_of_another_shape_are_refused(metric):
    with pytest.raises(ValueError, match=r"labels has shape \(3, 3\), which does not broadcast"):
        metric(ANSWERS, LABELS[:, :3])


def test_halting_is_right_if_the_sign_of_the_logit_agrees_with_solved():
    logits = np.array([2.0, -2.0, 2.0, -2.0])
    solved = np.array([True, True, False, False])
    np.testing.assert_array_equal(metrics.halting_accuracy_metric(logits, solved), [1, 0, 0, 1])


def test_masked_examples_have_halting_accuracy_zero():
    where = np.array([True, False])
    found = metrics.halting_accuracy_metric(np.ones(2), np.ones(2, bool), where=where)
    np.testing.assert_array_equal(found, [1, 0])


def test_halting_logits_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="solved has shape"):
        metrics.halting_accuracy_metric(np.ones(2), np.ones(3, bool))


def test_every_public_name_that_ends_in_metric_is_registered():
    assert {name for name in metrics.__all__ if name.endswith("_metric")} == set(metrics.METRICS)
