"""A label that is no class contributes nothing, whatever the loss and the dtype of the labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import contrib, losses
from tests.losses.cases import CASES
from tests.losses.cases.case import BATCH

LOSSES = losses.LOSSES | contrib.LOSSES
OUTSIDE = 2  # The example whose label is no class.
WHERE = np.arange(BATCH) != OUTSIDE
DTYPES = tuple(np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))


def arguments_of(name):
    return CASES[name].arguments(np.random.default_rng(len(name)))


def is_of_classes(name):
    labels = arguments_of(name).get("labels")
    return labels is not None and np.asarray(labels).dtype.kind in "iu"


OF_CLASSES = sorted(filter(is_of_classes, CASES))
every_loss_of_classes = pytest.mark.parametrize("name", OF_CLASSES)


def logits_of(name):
    """The arguments with an axis of classes; without one, every label from 0 on is a class."""
    return [key for key in arguments_of(name) if key.endswith("logits")]


def loss_of(name, arguments, **kwargs):
    return LOSSES[name](**arguments, **CASES[name].settings, **kwargs)


def values_and_gradients(name, arguments, **kwargs):
    free = {key: jnp.asarray(arguments[key]) for key in CASES[name].differentiable}

    def total(free):
        found = loss_of(name, arguments | free, **kwargs)
        return jnp.sum(found * jnp.arange(1, BATCH + 1)), found

    (_, found), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(free)
    return found, gradient


def with_label(name, label, dtype):
    arguments = arguments_of(name)
    labels = np.array(arguments["labels"]).astype(dtype)
    labels[OUTSIDE] = label
    return arguments | {"labels": labels}


def outsiders(name, dtype):
    """Labels of this dtype that are no class."""
    info = np.iinfo(dtype)
    found = [info.min, -1, losses.IGNORE_LABEL] if info.min < 0 else []
    if logits_of(name):
        found += [arguments_of(name)[logits_of(name)[0]].shape[-1], info.max]
    return found


def test_the_losses_of_classes_are_found():
    assert {"softmax_cross_entropy_loss", "multi_similarity_loss"} <= set(OF_CLASSES)
    assert len(OF_CLASSES) >= 8


@every_loss_of_classes
def test_a_label_that_is_no_class_has_the_value_and_gradient_of_a_masked_one(name):
    expected = values_and_gradients(name, arguments_of(name), where=WHERE)
    for label in outsiders(name, np.int32):
        found = values_and_gradients(name, with_label(name, label, np.int32))
        assert found[0][OUTSIDE] == 0
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@every_loss_of_classes
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_labels_may_have_any_integer_dtype(name, dtype):
    arguments = arguments_of(name)
    labels = np.asarray(arguments["labels"])
    expected = loss_of(name, arguments | {"labels": labels.astype(np.int32)})
    found = loss_of(name, arguments | {"labels": labels.astype(dtype)})
    np.testing.assert_array_equal(found, expected)
    masked = loss_of(name, arguments | {"labels": labels.astype(np.int32)}, where=WHERE)
    for label in outsiders(name, dtype):
        found = loss_of(name, with_label(name, label, dtype))
        np.testing.assert_array_equal(found, masked)


@pytest.mark.parametrize("name", [name for name in OF_CLASSES if logits_of(name)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8], ids=str)
def test_there_may_be_more_classes_than_the_dtype_of_the_labels_can_count(name, dtype):
    arguments = arguments_of(name)
    for key in logits_of(name):
        arguments[key] = np.pad(arguments[key], ((0, 0), (0, 300)), constant_values=-2.0)
    labels = np.arange(BATCH)
    found, expected = (
        loss_of(name, arguments | {"labels": labels.astype(kind)}) for kind in (dtype, np.int32)
    )
    np.testing.assert_array_equal(found, expected)


@every_loss_of_classes
def test_labels_that_are_no_integers_are_refused(name):
    arguments = arguments_of(name)
    labels = np.asarray(arguments["labels"], np.float32)
    with pytest.raises(ValueError, match=f"{name}: labels has dtype float32"):
        loss_of(name, arguments | {"labels": labels})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dice_of_a_sigmoid_counts_targets_from_zero_to_one_only(dtype):
    logits, targets = jnp.array([1.0, -2.0, 0.5]), np.array([1, 0, 1]).astype(dtype)
    expected = losses.self_adjusting_dice_loss(logits, targets, where=jnp.array([1, 1, 0], bool))
    for outsider in [2, np.iinfo(dtype).max, *([-1, -100] if dtype.kind == "i" else [])]:
        targets[2] = outsider
        found = losses.self_adjusting_dice_loss(logits, targets)
        np.testing.assert_array_equal(found, expected)


def test_valid_labels_are_classes():
    labels = np.array([[0, 4, 5], [-1, losses.IGNORE_LABEL, 255]])
    np.testing.assert_array_equal(
        losses.valid_labels(labels, num_classes=5), [[True, True, False], [False] * 3]
    )
    np.testing.assert_array_equal(losses.valid_labels(labels), [[True] * 3, [False, False, True]])
