"""The weighting of domains by their excess loss over a reference model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgar_jax import weighting

doremi = weighting.doremi_domain_weighting
DOMAINS, BATCH, UPDATES = 3, 6, 4

floats = functools.partial(st.floats, width=32, allow_subnormal=False)
many_losses = hnp.arrays(np.float32, (UPDATES, BATCH), elements=floats(0, 4))
many_domains = hnp.arrays(np.int32, (UPDATES, BATCH), elements=st.integers(0, DOMAINS - 1))
many_masks = hnp.arrays(bool, (UPDATES, BATCH))
DOMAIN_IDS = jnp.array([0, 0, 1, 1, 2, 2])


def update(transform, losses, state=None, domain_ids=DOMAIN_IDS, reference=0.0, **extras):
    state = transform.init(losses) if state is None else state
    return jax.jit(transform.update)(
        np.ones(np.shape(losses), np.float32),
        state,
        jnp.asarray(losses),
        reference_losses=jnp.broadcast_to(reference, np.shape(losses)),
        domain_ids=domain_ids,
        **extras,
    )


@functools.partial(jax.jit, static_argnums=0)
def run(transform, losses, domain_ids, where):
    """Returns the weights and the memory after every update, stacked."""

    def step(state, batch):
        losses, domain_ids, where = batch
        extras = {"reference_losses": jnp.ones(BATCH), "domain_ids": domain_ids, "where": where}
        weights, state = transform.update(jnp.ones(BATCH), state, losses, **extras)
        return state, (weights, state.terms)

    state = transform.init(losses[0])
    return jax.lax.scan(step, state, (losses, domain_ids, where))[1]


UNCLIPPED = doremi(DOMAINS, step_size=0.5, smoothing=0.1, clip=None)
CLIPPED = doremi(DOMAINS, step_size=0.5, smoothing=0.1, clip=1.0)


def expected_weights(losses, domain_ids, where, clip=None):
    """Yields the domain weights in float64; as in the paper, absent domains keep their scores."""
    weights, scores = np.full(DOMAINS, 1 / DOMAINS), np.full(DOMAINS, np.nan)
    for batch, domains, valid in zip(losses, domain_ids, where, strict=True):
        if valid.any():
            for domain in set(domains[valid]):
                excess = np.maximum(batch[valid & (domains == domain)].astype(float) - 1, 0)
                scores[domain] = excess.mean()
            centered = np.nan_to_num(scores - np.nanmean(scores))
            centered = centered if clip is None else np.clip(centered, -clip, clip)
            weights = weights * np.exp(0.5 * centered)
            weights = 0.9 * weights / weights.sum() + 0.1 / DOMAINS
        yield weights


@given(many_losses, many_domains, many_masks)
def test_it_follows_the_algorithm_of_the_paper(losses, domain_ids, where):
    found = run(UNCLIPPED, losses, domain_ids, where)[1].weights
    expected = list(expected_weights(losses, domain_ids, where))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@given(many_losses, many_domains, many_masks)
def test_with_a_clip_it_follows_the_variant_of_dataflex(losses, domain_ids, where):
    found = run(CLIPPED, losses, domain_ids, where)[1].weights
    expected = list(expected_weights(losses, domain_ids, where, clip=1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@given(many_losses, many_domains, many_masks)
def test_the_weights_of_the_domains_sum_to_one(losses, domain_ids, where):
    found = run(UNCLIPPED, losses, domain_ids, where)[1].weights
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


@given(many_losses, many_domains, many_masks)
def test_every_domain_has_at_least_its_share_of_the_smoothing(losses, domain_ids, where):
    found = run(UNCLIPPED, losses, domain_ids, where)[1].weights
    assert (found >= 0.1 / DOMAINS * (1 - 1e-5)).all()


@given(many_losses, many_domains, many_masks)
def test_the_average_is_the_mean_of_the_weights_so_far(losses, domain_ids, where):
    terms = run(UNCLIPPED, losses, domain_ids, where)[1]
    expected = np.cumsum(terms.weights, 0) / np.arange(1, UPDATES + 1)[:, None]
    np.testing.assert_allclose(terms.average, expected, rtol=1e-5)


@given(many_losses, many_domains, many_masks)
def test_factors_are_domain_weights_times_the_number_of_domains(losses, domain_ids, where):
    factors, terms = run(UNCLIPPED, losses, domain_ids, where)
    expected = DOMAINS * np.take_along_axis(np.asarray(terms.weights), domain_ids, axis=1)
    np.testing.assert_allclose(factors, np.where(where, expected, 0), rtol=1e-5)


def test_hand_worked_weights():
    losses, reference = [1.0, 3.0, 5.0, 5.0, 0.0, 0.0], 1.0
    # The mean excess losses of the domains are 1, 4 and 0.
    _, state = update(doremi(3, smoothing=0.0, clip=None), np.array(losses), reference=reference)
    powers = np.exp([1.0, 4.0, 0.0])
    np.testing.assert_allclose(state.terms.weights, powers / powers.sum(), rtol=1e-5)


def test_equal_excess_losses_leave_the_weights_unchanged():
    transform = doremi(3, smoothing=0.0)
    _, uneven = update(transform, np.array([1.0, 1, 2, 2, 3, 3]))
    _, after = update(transform, np.full(6, 7.0), uneven)
    np.testing.assert_allclose(after.terms.weights, uneven.terms.weights, rtol=1e-5)
    assert np.ptp(uneven.terms.weights) > 0.5


def test_full_smoothing_gives_uniform_weights():
    weights, _ = update(doremi(3, smoothing=1.0), np.array([1.0, 1, 2, 2, 3, 3]))
    np.testing.assert_array_equal(weights, 1)


def test_a_worse_reference_gives_excess_zero():
    transform = doremi(3)
    _, state = update(transform, np.array([1.0, 1, 2, 2, 2, 2]), reference=2.0)
    np.testing.assert_array_equal(state.terms.scores, 0)


def test_an_absent_domain_keeps_its_score():
    transform = doremi(3, smoothing=0.0, clip=None)
    _, first = update(transform, np.array([1.0, 1, 2, 2, 3, 3]))
    _, second = update(transform, np.full(6, 2.0), first, domain_ids=jnp.array([1, 1, 1, 2, 2, 2]))
    np.testing.assert_allclose(second.terms.scores, [1, 2, 2])
    powers = np.exp([1.0 + 1, 2 + 2, 3 + 2])
    np.testing.assert_allclose(second.terms.weights, powers / powers.sum(), rtol=1e-5)


def test_a_domain_without_any_loss_so_far_counts_as_average():
    transform, domain_ids = doremi(3, smoothing=0.0, clip=None), jnp.array([0, 0, 0, 1, 1, 1])
    _, state = update(transform, np.array([1.0, 1, 1, 3, 3, 3]), domain_ids=domain_ids)
    powers = np.exp([-1.0, 1.0, 0.0])
    np.testing.assert_allclose(state.terms.weights, powers / powers.sum(), rtol=1e-5)
    np.testing.assert_array_equal(state.terms.seen, [True, True, False])


def test_a_batch_without_valid_losses_changes_nothing():
    transform = doremi(3)
    _, before = update(transform, np.array([1.0, 1, 2, 2, 3, 3]))
    _, after = update(transform, np.full(6, np.nan), before, where=np.zeros(6, bool))
    np.testing.assert_allclose(after.terms.weights, before.terms.weights, rtol=1e-6)


def test_all_tokens_of_a_domain_count_equally():
    losses = np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    where = np.array([[True, False, False], [True, True, True]])
    _, state = update(doremi(2), losses, domain_ids=jnp.array([0, 0]), where=where)
    np.testing.assert_allclose(state.terms.scores, [1.5, 0])


def test_the_clip_bounds_the_ratio_of_domain_weights_after_one_update():
    _, state = update(doremi(3, smoothing=0.0, clip=0.5), np.array([0.0, 0, 9, 9, 99, 99]))
    weights = np.asarray(state.terms.weights)
    np.testing.assert_allclose(weights.max() / weights.min(), np.exp(1.0), rtol=1e-5)


@pytest.mark.parametrize("clip", [None, 5.0])
def test_a_huge_excess_does_not_overflow(clip):
    transform = doremi(3, smoothing=1e-3, clip=clip)
    state = None
    for _ in range(3):
        weights, state = update(transform, np.array([0.0, 0, 1, 1, 1e30, 1e30]), state)
    np.testing.assert_allclose(state.terms.weights.sum(), 1, rtol=1e-5)
    assert np.isfinite(weights).all()


def test_the_domain_with_the_largest_remaining_excess_gets_the_largest_weight():
    transform, state = doremi(3, step_size=0.1), None
    for _ in range(50):
        _, state = update(transform, np.array([1.0, 1, 1, 1, 2, 2]), state, reference=0.5)
    assert np.argmax(state.terms.average) == 2
    assert state.terms.average[2] < state.terms.weights[2]


def test_the_state_can_be_donated():
    transform, losses = doremi(3), jnp.ones(6)
    extras = {"reference_losses": jnp.zeros(6), "domain_ids": DOMAIN_IDS}
    donating = jax.jit(transform.update, donate_argnums=1)
    weights, _ = donating(jnp.ones(6), transform.init(losses), losses, **extras)
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_domains": 0}, "num_domains is 0"),
        ({"step_size": -1.0}, r"step_size is -1.0, but it must be in \[0, inf\)"),
        ({"smoothing": 1.5}, "smoothing is 1.5"),
        ({"clip": 0.0}, "clip is 0.0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        doremi(**{"num_domains": 3} | settings)


def test_reference_losses_of_another_batch_size_raise_an_error():
    with pytest.raises(ValueError, match=r"'reference_losses' has shape \(5,\)"):
        doremi(3).update(
            jnp.ones(6),
            doremi(3).init(jnp.ones(6)),
            jnp.ones(6),
            reference_losses=jnp.ones(5),
            domain_ids=DOMAIN_IDS,
        )
