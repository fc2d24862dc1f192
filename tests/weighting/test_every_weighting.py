"""Facts that hold for every weighting: one test per fact, one case per weighting in `cases`."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from cgar_jax import contrib, weighting
from tests.weighting.cases import CASES
from tests.weighting.cases.case import BATCH, STEPS, is_key, per_example, schedules

P = jax.sharding.PartitionSpec
HIDDEN = 2  # Index of the example that the tests of masks hide.
WEIGHTINGS = weighting.WEIGHTINGS | contrib.WEIGHTINGS


def cases(condition=lambda case: True):
    """Parametrizes a test by the names of the cases that satisfy the condition."""
    return pytest.mark.parametrize("name", sorted(n for n, c in CASES.items() if condition(c)))


every_weighting = cases()
every_weighting_and_shape = pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name, case in sorted(CASES.items()) for shape in case.shapes],
)


@functools.cache
def build(name):
    """Returns the weighting of a case; all tests share it, so that it is compiled once."""
    return WEIGHTINGS[name](**CASES[name].settings)


def example(name, shape=None):
    """Returns losses and extra arguments of a case, by default in the first shape of the case."""
    shape = CASES[name].shapes[0] if shape is None else shape
    losses = np.random.default_rng(len(name)).uniform(0.05, 3.0, shape).astype(np.float32)
    return losses, CASES[name].extras(shape)


def eager_update(transform, losses, extras, weights=None, state=None):
    weights = jax.tree.map(jnp.ones_like, losses) if weights is None else weights
    state = transform.init(losses) if state is None else state
    return transform.update(weights, state, losses, **extras)


@functools.cache
def compiled(transform):
    return jax.jit(functools.partial(eager_update, transform))


def update(transform, *arguments, **optional):
    return compiled(transform)(*arguments, **optional)


def assert_trees_close(found, expected, **tolerance):
    tolerance = {"rtol": 1e-5, "atol": 1e-6} | tolerance
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(np.asarray(x), np.asarray(y), **tolerance),
        found,
        expected,
    )


def where_hiding(shape):
    return np.arange(shape[0]) != HIDDEN


def test_every_weighting_has_a_case():
    assert set(CASES) == set(WEIGHTINGS)


@pytest.mark.parametrize("room", [weighting, contrib])
def test_every_weighting_is_public_under_its_own_name(room):
    for name, function in room.WEIGHTINGS.items():
        assert getattr(room, name) is function
        assert name in room.__all__


def test_no_name_is_in_two_rooms():
    assert not weighting.WEIGHTINGS.keys() & contrib.WEIGHTINGS.keys()


@every_weighting
def test_the_name_ends_in_weighting(name):
    assert name.endswith("_weighting")


@every_weighting
def test_the_docstring_has_formula_arguments_errors_example_and_reference(name):
    docstring = inspect.getdoc(WEIGHTINGS[name])
    sections = ("Args:", "Extra arguments:", "Returns:", "Raises:", "Example:", "Reference:")
    places = [docstring.index(f"\n{section}\n") for section in sections]
    assert places == sorted(places)
    assert "`w" in docstring[: places[0]]


@every_weighting
def test_the_settings_of_the_case_change_the_weights(name):
    losses, extras = example(name)
    weights = jnp.linspace(1, 2, losses.size, dtype=jnp.float32).reshape(losses.shape)
    assert not np.allclose(update(build(name), losses, extras, weights)[0], weights)


@cases(lambda case: case.identity is not None)
def test_the_identity_settings_return_the_weights_bit_for_bit(name):
    losses, extras = example(name)
    weights = np.random.default_rng(1).uniform(0.1, 2, losses.shape).astype(np.float32)
    transform = WEIGHTINGS[name](**CASES[name].identity)
    found, _ = update(transform, losses, extras, weights)
    np.testing.assert_array_equal(found, weights)


@every_weighting_and_shape
def test_jit_equals_eager(name, shape):
    losses, extras = example(name, shape)
    transform = build(name)
    assert_trees_close(update(transform, losses, extras), eager_update(transform, losses, extras))


@every_weighting
def test_the_weights_of_each_term_have_the_shape_of_its_losses(name):
    losses, extras = example(name)
    extras = {key: value for key, value in extras.items() if key not in CASES[name].optional}
    weights, _ = update(build(name), {"answer": losses, "halt": losses}, extras)
    assert jax.tree.map(jnp.shape, weights) == {"answer": losses.shape, "halt": losses.shape}


@every_weighting
def test_vmap_equals_a_loop(name):
    losses, extras = example(name)
    several = jnp.stack([losses, 2 * losses, losses[::-1]])
    transform = build(name)
    found, _ = jax.vmap(lambda one: update(transform, one, extras))(several)
    expected = jnp.stack([update(transform, one, extras)[0] for one in several])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@cases(lambda case: case.permutes)
def test_permuting_the_batch_permutes_the_weights(name):
    losses, extras = example(name)
    order = np.random.default_rng(2).permutation(BATCH)
    weights, _ = update(build(name), losses, extras)
    permuted, _ = update(build(name), losses[order], per_example(extras, lambda x: x[order]))
    np.testing.assert_allclose(permuted, weights[order], rtol=1e-5, atol=1e-6)


@every_weighting_and_shape
def test_eight_devices_equal_one(name, shape):
    losses, extras = example(name, shape)
    transform = build(name)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    shard = functools.partial(jax.device_put, device=jax.NamedSharding(mesh, P("data")))
    found = update(transform, shard(losses), per_example(extras, shard))
    assert_trees_close(found, update(transform, losses, extras), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    sorted(n for n, f in WEIGHTINGS.items() if "axis_name" in inspect.signature(f).parameters),
)
def test_shards_of_a_named_axis_equal_one_batch(name):
    losses, extras = example(name)
    per_shard = WEIGHTINGS[name](**CASES[name].settings, axis_name="data")
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = {key: P("data") if np.shape(x)[:1] == (BATCH,) else P() for key, x in extras.items()}
    per_shard_update = jax.shard_map(
        lambda losses, extras: update(per_shard, losses, extras)[0],
        mesh=mesh,
        in_specs=(P("data"), sharded),
        out_specs=P("data"),
        check_vma=False,
    )
    found = jax.jit(per_shard_update)(losses, extras)
    assert_trees_close(found, update(build(name), losses, extras)[0])


@every_weighting_and_shape
def test_masked_entries_have_weight_zero_and_no_influence(name, shape):
    losses, extras = example(name, shape)
    where = where_hiding(shape)
    transform = build(name)

    def update_with_hidden(value):
        def put(array):
            array = np.array(array)
            if array.dtype.kind == "f":
                array[HIDDEN] = value
            return array

        return update(transform, put(losses), per_example(extras, put) | {"where": where})

    with_nan, with_number = update_with_hidden(np.nan), update_with_hidden(7.0)
    assert not np.any(with_nan[0][HIDDEN])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(with_nan) if not is_key(leaf))
    assert_trees_close(with_nan, with_number, rtol=0, atol=0)


@every_weighting
def test_the_gradient_is_finite_and_zero_where_masked(name):
    losses, extras = example(name)
    losses = np.array(losses)
    losses[HIDDEN] = np.nan
    transform = build(name)

    def total(losses):
        extended = extras | {"where": where_hiding(losses.shape)}
        return weighting.weighted_mean(transform, losses, transform.init(losses), **extended)[0]

    gradient = jax.grad(total)(losses)
    assert np.isfinite(gradient).all()
    assert not np.any(gradient[HIDDEN])


@cases(lambda case: not case.gradient)
def test_no_gradient_flows_through_the_weights(name):
    losses, extras = example(name)
    transform = build(name)
    gradient = jax.grad(lambda x: jnp.sum(update(transform, x, extras, jnp.ones_like(losses))[0]))
    np.testing.assert_array_equal(gradient(losses), 0)


@every_weighting
@pytest.mark.parametrize("rows", [0, BATCH])
def test_an_empty_batch_and_an_all_masked_batch_give_finite_results(name, rows):
    losses, extras = example(name)
    extras = per_example(extras, lambda x: x[:rows])
    found = update(build(name), losses[:rows], extras | {"where": np.zeros(rows, bool)})
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found) if not is_key(leaf))
    assert not np.any(found[0])


@every_weighting
def test_bfloat16_weights_are_computed_in_float32(name):
    losses, extras = example(name)
    losses = losses.astype(jnp.bfloat16)
    found, _ = update(build(name), losses, extras)
    exact, _ = update(build(name), losses.astype(np.float32), extras)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    "name", sorted(n for n in CASES if jax.tree.leaves(build(n).init(np.ones(BATCH, np.float32))))
)
def test_the_state_survives_a_checkpoint(name, tmp_path):
    losses, extras = example(name)
    _, state = update(build(name), losses, extras)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", jax.eval_shape(lambda: state))
    transform = build(name)
    expected = update(transform, losses, extras, state=state)
    assert_trees_close(update(transform, losses, extras, state=restored), expected, rtol=0, atol=0)


@every_weighting
def test_every_number_can_follow_a_schedule(name):
    losses, extras = example(name)
    inject = optax.inject_hyperparams(WEIGHTINGS[name], static_args=CASES[name].static)
    scheduled = inject(**{**CASES[name].settings, **schedules(CASES[name])})
    found, _ = update(scheduled, losses, extras)
    np.testing.assert_allclose(found, update(build(name), losses, extras)[0], rtol=1e-5, atol=1e-6)


# Settings that are None by default, and numbers that select what the defaults leave out.
MORE_SETTINGS = {
    "agreement_pseudo_label_weighting": {"margin_threshold": 0.1},
    "loss_based_weighting": {"clip_quantile": 0.9},
    "meta_weighting": {"ema_decay": 0.9},
    "nested_depth_weighting": {"probabilities": np.full(STEPS, 1 / STEPS)},
    "sorted_exit_weighting": {"exits": np.array([2, 4])},
}


def all_settings(name):
    """Returns a value for every setting of a weighting: the default, or that of its case."""
    parameters = inspect.signature(WEIGHTINGS[name]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return defaults | CASES[name].settings | MORE_SETTINGS.get(name, {})


@every_weighting
def test_every_setting_may_be_injected_or_is_refused_with_the_advice_to_make_it_static(name):
    losses, extras = example(name)
    settings, static = all_settings(name), []
    for _ in range(len(settings) + 1):
        inject = optax.inject_hyperparams(WEIGHTINGS[name], static_args=static)
        try:
            found, _ = update(inject(**settings), losses, extras)
            break
        except ValueError as error:
            (advised,) = re.findall(r"pass static_args='(\w+)'", str(error))
            static.append(advised)
    expected, _ = update(WEIGHTINGS[name](**settings), losses, extras)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert set(static) <= {"exits", *CASES[name].static}


@pytest.mark.parametrize(
    ("name", "setting"),
    [("position_importance_weighting", "discount"), ("difficulty_curriculum_weighting", "fade")],
)
def test_a_function_that_is_taken_for_a_schedule_is_refused_with_advice(name, setting):
    losses, extras = example(name)
    settings = CASES[name].settings | {setting: lambda number: number / 2}
    transform = optax.inject_hyperparams(WEIGHTINGS[name])(**settings)
    with pytest.raises(ValueError, match=f"static_args='{setting}'"):
        update(transform, losses, extras)


@every_weighting
def test_optax_masked_and_partition_restrict_it_to_one_term(name):
    losses, extras = example(name)
    both = {"answer": losses, "halt": 3 * losses}
    expected, _ = update(build(name), losses, extras)
    masked = optax.masked(build(name), {"answer": True, "halt": False})
    labels = {"answer": "weighted", "halt": "unchanged"}
    transforms = {"weighted": build(name), "unchanged": optax.identity()}
    for transform in (masked, optax.partition(transforms, labels)):
        weights, _ = update(transform, both, extras)
        np.testing.assert_allclose(weights["answer"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(weights["halt"], 1)


@cases(lambda case: case.multiplies)
def test_it_multiplies_the_weights_from_earlier_in_a_chain(name):
    losses, extras = example(name)
    chain = optax.chain(optax.scale(0.5), build(name), optax.scale(2.0))
    found, _ = update(chain, losses, extras)
    np.testing.assert_allclose(found, update(build(name), losses, extras)[0], rtol=1e-5, atol=1e-6)


@cases(lambda case: case.multiplies)
def test_missing_losses_are_an_error(name):
    losses, extras = example(name)
    transform = build(name)
    with pytest.raises(ValueError, match=f"{name}.*third argument"):
        transform.update(jnp.ones_like(losses), transform.init(losses), **extras)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, key)
        for name, case in sorted(CASES.items())
        for key in case.extras(case.shapes[0])
        if key not in case.optional
    ],
)
def test_a_missing_extra_argument_is_an_error_that_names_it(name, argument):
    losses, extras = example(name)
    del extras[argument]
    with pytest.raises(ValueError, match=f"{name}.*'{argument}' is missing"):
        update(build(name), losses, extras)
