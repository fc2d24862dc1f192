"""Facts about everything that has a state or draws at random in sampling, curricula and contrib."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from cgar_jax import contrib, curricula, sampling

ROUNDS = 5


def mixing_rounds(mixer, *arguments):
    """Returns the initial state of a mixer, its round k, and the function that reads its state."""

    def advance(state, k):
        return mixer.update(state, *(column[k] for column in arguments))

    return mixer.init(), advance, mixer.probabilities


def averaging_rounds(**settings):
    transform = contrib.curriculum_params_averaging(**settings)
    params = {"w": jnp.arange(3.0)}

    def advance(state, k):
        return transform.update({"w": jnp.full(3, k / 7)}, state, params)[1]

    return transform.init(params), advance, contrib.averaged_params


def make_cases():
    random = np.random.default_rng(0)
    losses = jnp.asarray(random.uniform(0, 3, (ROUNDS, 4)), jnp.float32)
    domains = jnp.asarray(random.integers(0, 3, (ROUNDS, 4)))
    skill_it = sampling.skill_it_mixer(random.uniform(size=(3, 4)), 0.3, window=2)
    return {
        "skill_it_mixer": mixing_rounds(skill_it, losses),
        "odm_mixer": mixing_rounds(sampling.odm_mixer(3, 0.9, 2), losses, domains),
        "odm_mixer, summed": mixing_rounds(sampling.odm_mixer(3, None, 2), losses, domains),
        "uniform average": averaging_rounds(kind="uniform", window=2),
        "linear average": averaging_rounds(kind="linear", window=2, every=2),
        "exponential average": averaging_rounds(kind="exponential", decay=0.5),
    }


CASES = make_cases()

every_state = pytest.mark.parametrize("case", sorted(CASES))


@functools.cache
def compiled(case):
    return jax.jit(CASES[case][1])


def run(case, state=None, rounds=range(ROUNDS), advance=None):
    state = CASES[case][0] if state is None else state
    for k in rounds:
        state = (advance or compiled(case))(state, k)
    return state


def assert_equal(found, expected, **tolerance):
    tolerance = {"rtol": 0, "atol": 0} | tolerance
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), found, expected)


@every_state
def test_a_state_consists_of_arrays_of_constant_shapes_and_dtypes(case):
    start, end = CASES[case][0], run(case)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(start))
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in (start, end)]
    assert shapes[0] == shapes[1]


@every_state
def test_the_rounds_change_the_value_that_is_read(case):
    start, _, read = CASES[case]
    before, after = (np.concatenate(jax.tree.leaves(read(s))) for s in (start, run(case)))
    assert not np.allclose(before, after)


@every_state
def test_jit_agrees_with_eager_evaluation(case):
    _, advance, read = CASES[case]
    found = run(case)
    assert_equal(found, run(case, advance=advance), rtol=1e-6)
    assert_equal(jax.jit(read)(found), read(found), rtol=1e-6)


@every_state
def test_a_resumed_run_ends_with_exactly_the_same_state(case, tmp_path):
    state = run(case, rounds=range(3))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", jax.eval_shape(lambda: state))
    assert_equal(run(case, restored, range(3, ROUNDS)), run(case))


DRAWS = {
    "draw_domains": lambda key: sampling.draw_domains(key, jnp.ones(8), 64),
    "personal_loss_sampling": lambda key: sampling.personal_loss_sampling(key, jnp.zeros((64, 8))),
    "pacing_subset_curriculum": lambda key: curricula.pacing_subset_curriculum(
        order="random"
    ).order_examples(jnp.zeros(64), key),
}

every_draw = pytest.mark.parametrize("name", sorted(DRAWS))


@every_draw
def test_the_same_key_gives_the_same_draw_with_and_without_jit(name):
    draw, key = DRAWS[name], jax.random.key(3)
    np.testing.assert_array_equal(draw(key), draw(key))
    np.testing.assert_array_equal(jax.jit(draw)(key), draw(key))


@every_draw
def test_another_key_gives_another_draw(name):
    assert np.any(DRAWS[name](jax.random.key(3)) != DRAWS[name](jax.random.key(4)))


def test_two_methods_with_the_same_key_draw_independently():
    # If both used the key directly, both would take the maximum of the same Gumbel noise.
    key = jax.random.key(3)
    domains, candidates = (DRAWS[n](key) for n in ("draw_domains", "personal_loss_sampling"))
    assert np.mean(domains == candidates) < 0.5


def test_a_resumed_mixer_draws_the_same_domains():
    mixer, losses = sampling.odm_mixer(3, warmup_steps=0), jnp.array([1.0, 3.0, 2.0])

    @jax.jit
    def step(state, k):
        key = jax.random.fold_in(jax.random.key(0), k)
        domains = sampling.draw_domains(key, mixer.probabilities(state), 8)
        return mixer.update(state, losses[domains], domains), domains

    def go(state, rounds):
        drawn = []
        for k in rounds:
            state, domains = step(state, k)
            drawn.append(domains)
        return state, drawn

    half, early = go(mixer.init(), range(10))
    _, late = go(jax.tree.map(jnp.asarray, jax.device_get(half)), range(10, 20))
    np.testing.assert_array_equal(early + late, go(mixer.init(), range(20))[1])


def test_the_average_works_in_a_chain_with_extra_arguments():
    chain = optax.chain(
        optax.sgd(0.1), contrib.curriculum_params_averaging(window=2), optax.identity()
    )
    params = {"w": jnp.ones(2)}
    updates, state = chain.update(params, chain.init(params), params, value=1.0)
    expected = optax.apply_updates(params, updates)
    np.testing.assert_allclose(contrib.averaged_params(state)["w"], expected["w"])
