"""The weighting of the loss terms of early distillation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cgar_jax import losses, weighting

early = weighting.early_distillation_weighting


def two_terms(steps, omega):
    return weighting.build(
        [
            (early.__name__, {"role": role, "distillation_steps": steps, "omega": omega}, [role])
            for role in ("label", "teacher")
        ]
    )


def shares_over_training(steps, omega, updates):
    transform, terms = two_terms(steps, omega), {"label": jnp.ones(1), "teacher": jnp.ones(1)}
    state, found = transform.init(terms), []
    update = jax.jit(transform.update)
    for _ in range(updates):
        weights, state = update(terms, state, terms)
        found.append((float(weights["label"][0]), float(weights["teacher"][0])))
    return found


def test_the_teacher_has_its_share_in_the_first_updates_only():
    found = shares_over_training(steps=2, omega=0.25, updates=4)
    assert found == [(0.75, 0.25), (0.75, 0.25), (1, 0), (1, 0)]


def test_zero_distillation_steps_never_use_the_teacher():
    assert shares_over_training(steps=0, omega=0.25, updates=1) == [(1, 0)]


def example():
    rng = np.random.default_rng(0)
    logits, teacher = rng.normal(size=(2, 6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6)
    terms = {
        "label": losses.softmax_cross_entropy_loss(logits, labels),
        "teacher": optax.softmax_cross_entropy(logits, jax.nn.softmax(teacher)),
    }
    return (logits, labels, teacher), terms


weighted_mean = jax.jit(weighting.weighted_mean, static_argnums=0)


def test_the_sum_of_both_terms_is_the_early_distillation_loss():
    arrays, terms = example()
    transform = two_terms(1, 0.3)
    total, _ = weighted_mean(transform, terms, transform.init(terms))
    expected = jax.jit(losses.early_distillation_loss)(*arrays, omega=0.3).mean()
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_after_distillation_the_sum_is_bitwise_the_cross_entropy():
    _, terms = example()
    transform = two_terms(1, 0.3)
    _, (state, _) = weighted_mean(transform, terms, transform.init(terms))
    total, _ = weighted_mean(transform, terms, state)
    alone, _ = weighted_mean(optax.identity(), terms["label"], optax.EmptyState())
    assert total == alone


def test_optax_partition_gives_each_role_its_term():
    terms = {"label": jnp.ones(2), "teacher": jnp.ones(2)}
    roles = {role: early(role, 5, omega=0.2) for role in terms}
    transform = optax.partition(roles, {role: role for role in terms})
    weights, _ = transform.update(terms, transform.init(terms), terms)
    np.testing.assert_allclose(weights["label"], 0.8, rtol=1e-6)
    np.testing.assert_allclose(weights["teacher"], 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"role": "labels"}, "did you mean 'label'"),
        ({"omega": 1.5}, r"omega is 1.5, but it must be in \[0, 1\]"),
        ({"distillation_steps": -1}, "distillation_steps is -1"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        early(**{"role": "teacher", "distillation_steps": 1} | settings)
