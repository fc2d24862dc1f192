"""`curriculum_params_averaging` and `moderate_decay_schedule`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib

STEPS = 9
START = {"w": np.array([1.0, -2.0, 3.0], np.float32), "b": np.array(0.5, np.float32)}
UPDATES = {
    "w": np.random.default_rng(0).normal(size=(STEPS, 3)).astype(np.float32),
    "b": np.random.default_rng(1).normal(size=STEPS).astype(np.float32),
}
PATH = {
    name: START[name] + np.cumsum(UPDATES[name], axis=0) for name in START
}  # Parameters after each step.

# For each kind: its settings, and the weights of its snapshots, the oldest first.
KINDS = {
    "uniform": ({"window": 4}, lambda taken: np.ones(min(taken, 4))),
    "linear": ({"window": 4}, lambda taken: np.arange(min(taken, 4)) + 1.0),
    "exponential": ({"decay": 0.8}, lambda taken: 0.8 ** np.arange(taken)[::-1]),
}

every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def average(kind, **settings):
    return contrib.curriculum_params_averaging(kind, **KINDS[kind][0] | settings)


def train(transform, updates=UPDATES, start=START):
    """Returns the average after each step of a run with these updates."""

    def step(carry, update):
        params, state = carry
        update, state = transform.update(update, state, params)
        params = optax.apply_updates(params, update)
        return (params, state), contrib.averaged_params(state)

    start = jax.tree.map(jnp.asarray, start)
    return jax.jit(lambda: jax.lax.scan(step, (start, transform.init(start)), updates)[1])()


def assert_close(found, expected, rtol=1e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6), found, expected
    )


@every_kind
@pytest.mark.parametrize("every", [1, 3])
def test_the_average_is_the_weighted_mean_of_the_snapshots(kind, every):
    found = train(average(kind, every=every))
    for step in range(1, STEPS + 1):
        weights = KINDS[kind][1](step // every) if step >= every else []
        for name, path in PATH.items():
            snapshots = (
                path[every - 1 : step : every][-len(weights) :] if len(weights) else [START[name]]
            )
            expected = np.average(snapshots, axis=0, weights=weights if len(weights) else None)
            np.testing.assert_allclose(found[name][step - 1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["uniform", "linear"])
def test_a_window_of_one_gives_the_last_parameters(kind):
    np.testing.assert_array_equal(
        train(average(kind, window=1))["w"], parameters_after_each_step()["w"]
    )


def parameters_after_each_step():
    params, path = START, []
    for step in range(STEPS):
        params = optax.apply_updates(params, jax.tree.map(lambda x, s=step: x[s], UPDATES))
        path.append(params)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *path)


@every_kind
def test_constant_parameters_are_their_own_average(kind):
    still = jax.tree.map(np.zeros_like, UPDATES)
    expected = jax.tree.map(lambda x: np.broadcast_to(x, (STEPS, *x.shape)), START)
    assert_close(train(average(kind), still), expected, rtol=1e-6)


@every_kind
@given(taken=st.integers(1, 10**6))
def test_the_weights_sum_to_one(kind, taken):
    transform = average(kind)
    state = transform.init(START)._replace(count=jnp.int32(taken - 1))
    weights = jit_update(kind)(START, state, START)[1].weights
    np.testing.assert_allclose(np.sum(weights), 1, rtol=1e-6)


@functools.cache
def jit_update(kind):
    return jax.jit(average(kind).update)


@pytest.mark.parametrize("decay", [0.0, 0.8, 0.999])
def test_the_exponential_average_agrees_with_the_bias_corrected_one_of_optax(decay):
    ema = optax.ema(decay, debias=True)

    def step(state, params):
        mean, state = ema.update(params, state)
        return state, mean

    expected = jax.jit(lambda path: jax.lax.scan(step, ema.init(START), path)[1])(PATH)
    assert_close(train(average("exponential", decay=decay)), expected, rtol=1e-4)


@every_kind
def test_a_convex_loss_of_the_average_is_below_the_average_of_the_losses(kind):
    matrix = np.random.default_rng(2).normal(size=(3, 3))

    def loss(w):
        return np.sum(np.square(np.asarray(w) @ matrix), axis=-1)

    of_average = loss(train(average(kind))["w"][-1])
    weights = KINDS[kind][1](STEPS)
    assert of_average < np.average(loss(PATH["w"])[-len(weights) :], weights=weights)


@every_kind
def test_the_updates_pass_unchanged(kind):
    transform = average(kind)
    updates = jax.tree.map(lambda x: x[0], UPDATES)
    found, _ = jit_update(kind)(updates, transform.init(START), START)
    jax.tree.map(np.testing.assert_array_equal, found, updates)


def test_at_the_end_of_a_chain_it_averages_the_trained_parameters():
    optimizer = optax.chain(optax.adam(0.1), average("uniform"))

    @jax.jit
    def step(params, state):
        gradients = jax.grad(lambda p: jnp.sum(jnp.square(p["w"])) + p["b"] ** 2)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params, path = jax.tree.map(jnp.asarray, START), []
    state = optimizer.init(params)
    for _ in range(6):
        params, state = step(params, state)
        path.append(params)
    expected = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *path[-4:])
    assert_close(contrib.averaged_params(state), expected)


def test_before_the_first_snapshot_the_average_is_the_initial_parameters():
    state = average("linear", every=100).init(START)
    jax.tree.map(np.testing.assert_array_equal, contrib.averaged_params(state), START)


@every_kind
def test_the_state_of_bfloat16_parameters_is_float32(kind):
    half = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), START)
    state = average(kind).init(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(t) for t in ("f4", "i4")}


def test_the_average_of_bfloat16_parameters_is_not_rounded():
    transform, params = average("uniform", window=2), jnp.asarray(START["w"], jnp.bfloat16)
    state, path = transform.init(params), []
    for update in jnp.asarray(UPDATES["w"][:2], jnp.bfloat16):
        _, state = transform.update(update, state, params)
        params = optax.apply_updates(params, update)
        path.append(np.float32(params))
    found = contrib.averaged_params(state)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, np.mean(path, axis=0))
    assert np.any(found != found.astype(jnp.bfloat16))


@every_kind
def test_state_and_parameters_share_no_buffer_so_that_both_can_be_donated(kind):
    transform = average(kind)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        updates, state = transform.update(jax.tree.map(jnp.ones_like, params), state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.asarray, START)
    params, state = step(params, transform.init(params))
    _, state = step(params, state)
    assert np.isfinite(contrib.averaged_params(state)["w"]).all()


@every_kind
def test_snapshots_keep_the_sharding_of_the_parameters(kind):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    transform = average(kind)
    params = np.arange(32.0, dtype=np.float32).reshape(16, 2)
    states = [transform.init(p) for p in (params, jax.device_put(params, sharding))]
    assert states[1].snapshots.sharding.spec[:2] == (None, "data")
    for _ in range(3):
        states = [jax.jit(transform.update)(params / 7, state, params)[1] for state in states]
    assert states[1].snapshots.sharding.spec[:2] == (None, "data")
    assert_close(*map(contrib.averaged_params, states))


def test_the_decay_can_follow_a_schedule():
    scheduled = optax.inject_hyperparams(
        contrib.curriculum_params_averaging, static_args=("window", "every")
    )(kind="exponential", decay=lambda _: 0.8)
    assert_close(train(scheduled), train(average("exponential")))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kind": "exponentials"}, "did you mean 'exponential'"),
        ({"kind": "exponential"}, "decay is None"),
        ({"kind": "uniform", "decay": 0.9}, "decay is 0.9"),
        ({"kind": "exponential", "decay": 1.0}, "decay is 1.0"),
        ({"window": 0}, "window is 0"),
        ({"every": 0}, "every is 0"),
    ],
)
def test_an_invalid_setting_raises_an_error(settings, match):
    with pytest.raises(ValueError, match=match):
        contrib.curriculum_params_averaging(**settings)


def test_an_update_without_the_parameters_raises_an_error():
    transform = average("uniform")
    with pytest.raises(ValueError, match="pass the parameters"):
        transform.update(START, transform.init(START))


@pytest.mark.parametrize("count", [0, 2])
def test_a_state_without_exactly_one_average_raises_an_error(count):
    optimizer = optax.chain(optax.sgd(0.1), *[average("uniform")] * count)
    with pytest.raises(ValueError, match=f"contains {count} parameter averages"):
        contrib.averaged_params(optimizer.init(START))


def test_a_moderate_decay_rises_to_its_peak_and_ends_at_its_final_fraction():
    schedule = contrib.moderate_decay_schedule(2.0, 100, 0.25, warmup_steps=10)
    rates = np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(100)))
    np.testing.assert_allclose(rates[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(rates[54], 2.0 * (1 + 0.25) / 2, rtol=1e-6)
    np.testing.assert_allclose(rates[99], 2.0 * 0.25, rtol=1e-6)
    assert np.argmax(rates) == 9
    assert np.all(np.diff(rates[9:]) < 0)


def test_a_final_fraction_of_one_gives_a_constant_rate():
    schedule = contrib.moderate_decay_schedule(0.5, 20, final_fraction=1.0)
    np.testing.assert_allclose(jax.vmap(schedule)(jnp.arange(20)), 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"peak": -1.0}, "peak is -1.0"),
        ({"final_fraction": 1.1}, "final_fraction is 1.1"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"warmup_steps": 10}, "less than the 10 steps"),
    ],
)
def test_an_invalid_setting_of_the_schedule_raises_an_error(settings, match):
    with pytest.raises(ValueError, match=match):
        contrib.moderate_decay_schedule(**{"peak": 1.0, "total_steps": 10} | settings)
