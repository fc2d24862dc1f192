import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import losses

SIZE, CLASSES = 4, 5
seeds = st.integers(0, 10_000)
thresholds = st.floats(0.05, 1.0)

consistency = jax.jit(losses.shrunk_class_consistency_loss)
spaces_of = jax.jit(losses.shrunk_classes)
gradient = jax.jit(
    jax.grad(lambda *args: losses.shrunk_class_consistency_loss(*args).sum(), (0, 1))
)


def two_views(seed, classes=CLASSES):
    rng = np.random.default_rng(seed)
    weak = rng.dirichlet(np.full(classes, 0.5), SIZE).astype(np.float32)
    return weak, rng.normal(size=(SIZE, classes)).astype(np.float32)


def kept_classes(probabilities, threshold):
    """Returns the kept classes of one example, or None if the threshold is not reached."""
    order = np.argsort(-probabilities)
    descending = probabilities[order].astype(float)
    for first in range(2, len(order)):
        if descending[0] / (descending[0] + descending[first:].sum()) >= threshold:
            return {order[0], *order[first:]}
    return None


@given(seeds, st.sampled_from([0.6, 0.8, 0.95]))
def test_just_enough_runners_up_are_dropped_to_make_the_first_class_certain(seed, threshold):
    weak, _ = two_views(seed)
    spaces = spaces_of(weak, threshold)
    for probabilities, kept, certain, reached in zip(weak, *spaces[:3], strict=True):
        expected = kept_classes(probabilities, threshold)
        assert certain == (probabilities.max() >= threshold)
        assert reached == (expected is not None and not certain)
        if reached:
            assert set(np.flatnonzero(kept)) == expected


@given(seeds)
def test_the_likeliest_and_the_least_likely_class_are_always_kept(seed):
    weak, _ = two_views(seed)
    kept = np.asarray(spaces_of(weak, 1.0).kept)
    assert kept[np.arange(SIZE), weak.argmax(-1)].all()
    assert kept[np.arange(SIZE), weak.argmin(-1)].all()


def test_all_classes_of_a_certain_prediction_are_kept():
    np.testing.assert_array_equal(spaces_of(jnp.array([[0.96, 0.03, 0.01]])).kept, True)


@given(seeds)
def test_neither_of_two_classes_can_be_dropped(seed):
    spaces = spaces_of(two_views(seed, classes=2)[0])
    assert np.all(spaces.kept)
    assert not np.any(spaces.reached)


def test_a_single_class_is_certain():
    spaces = spaces_of(jnp.ones((1, 1)))
    assert spaces.certain
    assert spaces.kept


def test_the_consistency_loss_equals_a_value_computed_by_hand():
    weak = jnp.array([[0.3, 0.6, 0.1]])
    strong = jnp.log(jnp.array([[5.0, 2.0, 3.0]]))
    # Class 0 is dropped: 0.6 / (0.6 + 0.1) is certain enough.
    np.testing.assert_allclose(consistency(weak, strong, 0.8), np.log(5 / 2), rtol=1e-5)


@given(seeds)
def test_certain_examples_have_loss_zero(seed):
    weak, strong = two_views(seed)
    # The likeliest of five classes has at least probability 1/5.
    np.testing.assert_array_equal(consistency(weak, strong, 0.19), 0)


@given(seeds, thresholds)
def test_the_loss_over_fewer_classes_is_never_larger(seed, threshold):
    weak, strong = two_views(seed)
    full = optax.softmax_cross_entropy_with_integer_labels(strong, weak.argmax(-1))
    assert (consistency(weak, strong, threshold) <= full + 1e-5).all()


@given(seeds, thresholds)
def test_dropped_classes_have_gradient_zero(seed, threshold):
    weak, strong = two_views(seed)
    found = np.asarray(gradient(weak, strong, threshold)[1])
    assert not found[~np.asarray(spaces_of(weak, threshold).kept)].any()


@given(seeds)
def test_the_weak_view_has_gradient_zero(seed):
    np.testing.assert_array_equal(gradient(*two_views(seed), 0.9)[0], 0)


def test_the_confidence_has_gradient_zero():
    total = lambda weak: losses.shrunk_classes(weak).confidence.sum()  # noqa: E731
    np.testing.assert_array_equal(jax.jit(jax.grad(total))(two_views(0)[0]), 0)


def test_an_infinite_logit_of_a_dropped_class_does_not_matter():
    weak = jnp.array([[0.3, 0.6, 0.1]])
    strong = jnp.array([[jnp.inf, 0.0, 0.0]])
    np.testing.assert_allclose(consistency(weak, strong, 0.8), np.log(2), rtol=1e-5)
    assert np.isfinite(gradient(weak, strong, 0.8)[1]).all()


def test_views_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"weak_probabilities has shape \(2, 3\).*\[2, 4\]"):
        losses.shrunk_class_consistency_loss(jnp.ones((2, 3)), jnp.ones((2, 4)))


def test_a_threshold_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match=r"threshold is 0.0, but it must be in \(0, 1\]"):
        losses.shrunk_class_consistency_loss(jnp.ones((2, 3)), jnp.ones((2, 3)), 0.0)
