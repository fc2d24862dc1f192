"""A fresh state holds every buffer once, so that it can be donated to a compiled function."""

import jax
import jax.numpy as jnp
import pytest

from cgar_jax import contrib, curricula, optimizers, sampling, weighting
from tests.training import problem
from tests.weighting.cases import CASES

WEIGHTINGS = weighting.WEIGHTINGS | contrib.WEIGHTINGS
PARAMS = {"kernel": jnp.ones((4, 4)), "embed": jnp.ones((3, 4)), "bias": jnp.ones(4)}
CURRICULA = {
    name: make(*({"budgeted_depth_curriculum": (0.5,)}.get(name, ())))
    for name, make in curricula.CURRICULA.items()
    if name.endswith("depth_curriculum") or name == "sorted_exits_curriculum"
}


def buffers(tree):
    arrays = [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for leaf in jax.tree.leaves(tree)
    ]
    return [array.unsafe_buffer_pointer() for array in arrays if array.size]


def assert_each_buffer_once(*trees):
    found = buffers(trees)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", sorted(CASES))
def test_weightings(name):
    transform, losses = WEIGHTINGS[name](**CASES[name].settings), jnp.ones(CASES[name].shapes[0])
    assert_each_buffer_once(transform.init({"answer": losses, "halt": losses}), losses)
    extras = CASES[name].extras(losses.shape)
    assert_each_buffer_once(transform.update(losses, transform.init(losses), losses, **extras)[1])


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_optimizers(name):
    state = optimizers.OPTIMIZERS[name](1e-3).init(PARAMS)
    assert_each_buffer_once(state, PARAMS)


@pytest.mark.parametrize(
    "settings", [{"kind": "uniform"}, {"kind": "linear"}, {"kind": "exponential", "decay": 0.9}]
)
def test_averages_of_parameters(settings):
    transform = contrib.curriculum_params_averaging(**settings)
    assert_each_buffer_once(transform.init(PARAMS), PARAMS)


@pytest.mark.parametrize("name", sorted(CURRICULA))
def test_depth_curricula(name):
    assert_each_buffer_once(CURRICULA[name].init(100))


@pytest.mark.parametrize("name", sorted(sampling.BATCH_SAMPLINGS))
def test_samplings(name):
    settings = {"keep": 0.5} if name == "score_pruned_sampling" else {}
    assert_each_buffer_once(sampling.build(name, **settings).init())


@pytest.mark.parametrize(
    "mixer", [sampling.odm_mixer(3), sampling.skill_it_mixer(jnp.ones((3, 2)), 0.1)]
)
def test_mixers(mixer):
    assert_each_buffer_once(mixer.init())


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_an_optimizer_can_be_donated(name):
    optimizer = optimizers.OPTIMIZERS[name](1e-3)
    state = optimizer.init(PARAMS)
    step = jax.jit(lambda state: optimizer.update(PARAMS, state, PARAMS)[1], donate_argnums=0)
    assert jax.tree.structure(step(state)) == jax.tree.structure(optimizer.init(PARAMS))


def test_the_state_of_a_training_run():
    _, data, state = problem.build(optimizer__name="adam_atan2", sampling__name="odm_sampling")
    assert_each_buffer_once(state, data.examples)
