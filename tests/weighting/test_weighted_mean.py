"""The reduction of losses to one scalar."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cgar_jax import weighting

P = jax.sharding.PartitionSpec

chain = optax.chain(
    weighting.hierarchical_supervision_weighting(0.7, 16), weighting.unit_mean_weighting()
)


def mean_of(losses, transform=chain, **kwargs):
    mean = functools.partial(weighting.weighted_mean, transform)
    return jax.jit(mean)(losses, transform.init(losses), **kwargs)


def batch(size=16):
    rng = np.random.default_rng(0)
    return {
        "losses": {
            "answer": jnp.asarray(rng.uniform(size=size), jnp.float32),
            "halt": jnp.asarray(rng.uniform(size=size), jnp.float32),
        },
        "supervision_step": jnp.asarray(rng.integers(1, 17, size)),
        "where": jnp.asarray(rng.random(size) < 0.7),
    }


def test_with_the_identity_it_is_the_mean_summed_over_the_terms():
    losses = {"answer": jnp.array([1.0, 3.0]), "halt": jnp.array([[10.0, 20.0], [30.0, 40.0]])}
    value, _ = mean_of(losses, optax.identity())
    assert value == 2 + 25


def test_hand_worked_weighted_mean():
    # The losses 7 and 14 have weights 4/7 and 2/7; the mean over two examples is (4 + 4) / 2.
    transform = weighting.hierarchical_supervision_weighting(0.5, 3)
    value, _ = mean_of(jnp.array([7.0, 14.0]), transform, supervision_step=jnp.array([1, 2]))
    np.testing.assert_allclose(value, 4, rtol=1e-6)


def test_the_denominator_is_the_number_of_valid_entries():
    value, _ = mean_of(jnp.array([1.0, 3.0, 9.0]), optax.identity(), where=jnp.arange(3) < 2)
    assert value == 2


def test_the_gradient_by_each_loss_is_its_weight_over_the_count():
    transform = weighting.hierarchical_supervision_weighting(0.7, 4)
    losses = jnp.arange(8.0).reshape(2, 4)
    gradient = jax.grad(lambda x: mean_of(x, transform)[0])(losses)
    weights, _ = transform.update(jnp.ones((2, 4)), transform.init(losses), losses)
    np.testing.assert_allclose(gradient, weights / 8, rtol=1e-6)


@pytest.mark.parametrize("garbage", [jnp.nan, jnp.inf])
def test_masked_losses_affect_neither_value_nor_gradient(garbage):
    losses, where = jnp.array([2.0, garbage]), jnp.array([True, False])
    (value, (_, info)), gradient = jax.value_and_grad(
        lambda x: mean_of(x, where=where, supervision_step=jnp.array([3, 1])), has_aux=True
    )(losses)
    assert value == 2
    np.testing.assert_array_equal(gradient, [1, 0])
    assert info.effective_sample_size == 1


def test_a_weighting_without_masks_receives_zero_for_masked_losses():
    proportional = optax.stateless(lambda weights, losses: weights * losses / losses.sum())
    value, _ = mean_of(np.array([1.0, 3.0, np.nan]), proportional, where=np.arange(3) < 2)
    assert value == (1 / 4 * 1 + 3 / 4 * 3) / 2


@pytest.mark.parametrize("losses", [np.full(3, jnp.nan), np.zeros(0), np.full((2, 3), jnp.inf)])
def test_an_all_masked_batch_gives_zero_everywhere(losses):
    def value_fn(losses):
        return mean_of(losses, where=np.zeros(losses.shape, bool), supervision_step=1)

    (value, (_, info)), gradient = jax.value_and_grad(value_fn, has_aux=True)(losses)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    assert info == weighting.WeightStatistics(0, 0, 0, 0)


def test_the_mean_of_bfloat16_losses_is_taken_in_float32():
    # bfloat16 cannot represent 257: a sum in bfloat16 would be 256.
    value, _ = mean_of(np.ones(257, jnp.bfloat16), optax.identity())
    assert value.dtype == jnp.float32
    assert value == 1


def test_info_describes_the_weights_of_each_term():
    # The valid weights are 1, 1/2 and 1/2, so the effective sample size is 2^2 / (3/2).
    transform = weighting.hierarchical_supervision_weighting(0.5, 3, "none")
    _, (_, info) = mean_of(
        {"answer": np.zeros(4)},
        transform,
        supervision_step=jnp.array([1, 2, 2, 9]),
        where=jnp.array([True, True, True, False]),
    )
    np.testing.assert_allclose(info["answer"], [2 / 3, 1 / 2, 1, 8 / 3], rtol=1e-6)


def test_the_effective_sample_size_of_equal_weights_is_the_number_of_valid_entries():
    _, (_, info) = mean_of(np.zeros(7), optax.scale(0.3), where=np.arange(7) < 5)
    np.testing.assert_allclose(info.effective_sample_size, 5, rtol=1e-6)


def test_the_new_state_of_the_weighting_is_returned():
    transform = optax.scale_by_schedule(lambda count: 1.0 + count)
    losses = np.ones(3)
    first, (state, _) = mean_of(losses, transform)
    second, _ = weighting.weighted_mean(transform, losses, state)
    assert (first, second) == (1, 2)


def test_jit_equals_eager():
    state = chain.init(batch()["losses"])
    eager, _ = weighting.weighted_mean(chain, state=state, **batch())
    np.testing.assert_allclose(mean_of(**batch())[0], eager, rtol=1e-6)


def test_vmap_equals_a_loop():
    losses = jnp.arange(12.0).reshape(3, 4)
    where = losses % 3 != 0
    mean = lambda x, where: mean_of(x, where=where, supervision_step=jnp.arange(1, 5))[0]  # noqa: E731
    expected = [mean(x, w) for x, w in zip(losses, where, strict=True)]
    np.testing.assert_allclose(jax.vmap(mean)(losses, where), jnp.stack(expected), rtol=1e-6)


@pytest.mark.parametrize("per", ["example", "batch"])
def test_eight_devices_equal_one(per):
    transform = optax.chain(
        weighting.hierarchical_supervision_weighting(per=per), weighting.unit_mean_weighting()
    )
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(batch(), jax.sharding.NamedSharding(mesh, P("data")))

    @jax.jit
    def value_info_and_gradient(losses, **kwargs):
        return jax.value_and_grad(
            lambda losses: weighting.weighted_mean(
                transform, losses, transform.init(losses), **kwargs
            ),
            has_aux=True,
        )(losses)

    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, rtol=1e-5),
        value_info_and_gradient(**sharded),
        value_info_and_gradient(**batch()),
    )


def test_a_mask_of_another_shape_raises_an_error():
    with pytest.raises(ValueError, match=r"'where' has shape \(2,\).*\(3,\)"):
        mean_of(np.zeros(3), optax.identity(), where=np.ones(2, bool))


@pytest.mark.parametrize("chained", [False, True])
def test_accumulating_weights_is_an_error_that_says_where_accumulation_belongs(chained):
    accumulated = optax.MultiSteps(weighting.hierarchical_supervision_weighting(), 2)
    if chained:
        accumulated = optax.chain(accumulated.gradient_transformation(), optax.identity())
    losses = jnp.ones(2)
    with pytest.raises(ValueError, match="around the optimizer"):
        weighting.weighted_mean(
            accumulated, losses, accumulated.init(losses), supervision_step=jnp.ones(2, int)
        )


def test_a_missing_extra_argument_hints_at_accumulation():
    accumulated = optax.MultiSteps(weighting.hierarchical_supervision_weighting(), 2)
    dropping, losses = accumulated.gradient_transformation(), jnp.ones(2)
    with pytest.raises(ValueError, match="around the optimizer"):
        optax.with_extra_args_support(dropping).update(
            losses, dropping.init(losses), losses, supervision_step=jnp.ones(2, int)
        )
