"""The weighting of uncertain pseudo-labels by shrunk classes."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses, weighting
from tests.weighting import updating

shrunk = weighting.shrunk_class_weighting
CLASSES, SIZE = 3, 6

seeds = st.integers(0, 10_000)


def update(transform, size, state=None, **extras):
    return updating.update(transform, np.ones(size, np.float32), state, **extras)


def weights_of(transform, size, **extras):
    return np.asarray(update(transform, size, **extras)[0])


def random_guesses(seed, classes=CLASSES):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), SIZE).astype(np.float32)


SHRUNK = shrunk(threshold=0.75, decay=0.9)
# The rows are certain, certain without the second class, and never certain.
WEAK = np.array([[0.8, 0.1, 0.06, 0.04], [0.6, 0.3, 0.06, 0.04], [0.28, 0.26, 0.24, 0.22]])


def test_uncertain_examples_have_the_weight_of_their_confidence_if_they_reach_the_threshold():
    weights = weights_of(SHRUNK, 3, weak_probabilities=WEAK)
    np.testing.assert_allclose(weights, [0, 0.6 / 3, 0], rtol=1e-5)


def test_the_average_begins_with_the_fraction_of_the_first_batch():
    _, state = update(SHRUNK, 3, weak_probabilities=WEAK)
    np.testing.assert_allclose(state.terms.average, 1 / 3, rtol=1e-6)


def test_the_average_changes_by_its_decay():
    _, state = update(SHRUNK, 3, weak_probabilities=WEAK)
    _, state = update(SHRUNK, 3, state, weak_probabilities=WEAK[[0, 0, 0]])
    np.testing.assert_allclose(state.terms.average, 0.9 / 3 + 0.1, rtol=1e-6)


def test_an_all_masked_batch_does_not_count():
    nothing = np.zeros(3, bool)
    _, state = update(SHRUNK, 3, weak_probabilities=np.full((3, 4), np.nan), where=nothing)
    _, state = update(SHRUNK, 3, state, weak_probabilities=WEAK)
    np.testing.assert_allclose(state.terms.average, 1 / 3, rtol=1e-6)
    _, state = update(SHRUNK, 3, state, weak_probabilities=WEAK, where=nothing)
    np.testing.assert_allclose(state.terms.average, 1 / 3, rtol=1e-6)


def test_with_two_classes_uncertain_examples_have_weight_zero():
    weak = np.array([[0.6, 0.4], [0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_array_equal(weights_of(SHRUNK, 3, weak_probabilities=weak), 0)


@given(st.floats(0.5, 0.74), st.floats(0.5, 0.74))
def test_the_weight_rises_with_the_confidence_if_the_same_classes_are_dropped(one, other):
    # Without the second class, the first is certain.
    doubtful = [[p, 0.98 - p, 0.02, 0.0] for p in sorted((one, other))]
    weak = np.array([*doubtful, WEAK[0]], np.float32)
    weights = weights_of(SHRUNK, 3, weak_probabilities=weak)
    assert 0 < weights[0] <= weights[1]


shrunk_class_consistency_loss = jax.jit(losses.shrunk_class_consistency_loss)


@given(seeds)
def test_the_weighted_loss_equals_the_sum_in_the_released_code(seed):
    weak = random_guesses(seed, classes=5) ** 2
    weak = weak / weak.sum(-1, keepdims=True)
    strong = np.random.default_rng(seed).normal(size=(SIZE, 5)).astype(np.float32)
    total = 0.0
    for q, x in zip(weak, strong, strict=True):
        order = np.argsort(-q)
        q, x = q[order].astype(float), x[order].astype(float)
        for c in range(2, 5) if q[0] < 0.75 else ():
            if q[0] / (q[0] + q[c:].sum()) >= 0.75:
                total += q[0] * (np.log(np.exp(x[0]) + np.exp(x[c:]).sum()) - x[0])
                break
    expected = total / SIZE * np.mean(weak.max(-1) >= 0.75)
    weights = weights_of(SHRUNK, SIZE, weak_probabilities=weak)
    unweighted = shrunk_class_consistency_loss(weak, strong, 0.75)
    np.testing.assert_allclose(np.mean(weights * unweighted), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("settings", [{"threshold": 0.0}, {"decay": 1.0}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is .*, but it must be in"):
        shrunk(**settings)
