"""Facts that hold for every loss, each tested with one case per loss."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import contrib, losses
from tests.losses.cases import CASES
from tests.losses.cases.case import BATCH

LOSSES = losses.LOSSES | contrib.LOSSES
P = jax.sharding.PartitionSpec
HIDDEN = 2  # The example that the tests of masks hide.
WHERE = np.arange(BATCH) != HIDDEN

every_loss = pytest.mark.parametrize("name", sorted(CASES))
every_loss_per_example = pytest.mark.parametrize(
    "name", sorted(name for name, case in CASES.items() if case.per_example)
)


def eager(name):
    return functools.partial(LOSSES[name], **CASES[name].settings)


@functools.cache
def function(name):
    return jax.jit(eager(name))


def arguments_of(name):
    return CASES[name].arguments(np.random.default_rng(len(name)))


def rows(arguments, change):
    """Applies `change` to the arguments that have a row for each example."""
    return {
        key: change(value) if np.shape(value)[:1] == (BATCH,) else value
        for key, value in arguments.items()
    }


def with_hidden(arguments, garbage):
    def put(array):
        array = np.array(array)
        if array.dtype.kind == "f":
            array[HIDDEN] = garbage
        return array

    return rows(arguments, put)


def gradient(name, arguments, **kwargs):
    """Computes the gradient of the sum of the losses by the differentiable arguments."""
    free = {key: arguments[key] for key in CASES[name].differentiable}
    total = lambda free: jnp.sum(eager(name)(**{**arguments, **free}, **kwargs))  # noqa: E731
    return jax.jit(jax.grad(total))(free)


def test_every_loss_has_a_case():
    assert set(LOSSES) == set(CASES)


@pytest.mark.parametrize("room", [losses, contrib])
def test_every_public_name_that_ends_in_loss_is_registered(room):
    assert {name for name in room.__all__ if name.endswith("_loss")} == set(room.LOSSES)


@every_loss
def test_its_docstring_describes_formula_and_errors(name):
    docstring = inspect.getdoc(LOSSES[name])
    before_arguments, _, _ = docstring.partition("Args:")
    assert "`" in before_arguments or "    " in before_arguments
    assert "Raises:" in docstring


@every_loss
def test_it_gives_one_finite_loss_per_example(name):
    found = function(name)(**arguments_of(name))
    assert found.shape[0] == BATCH
    assert np.isfinite(found).all()
    assert np.any(found)


@every_loss
def test_jit_equals_eager(name):
    arguments = arguments_of(name)
    np.testing.assert_allclose(
        function(name)(**arguments), eager(name)(**arguments), rtol=1e-5, atol=1e-6
    )


@every_loss_per_example
def test_the_loss_of_an_example_does_not_depend_on_the_rest_of_its_batch(name):
    arguments = arguments_of(name)

    def single(example):
        return function(name)(**rows(arguments, lambda x: x[example : example + 1]))

    expected = jnp.concatenate([single(example) for example in range(BATCH)])
    np.testing.assert_allclose(function(name)(**arguments), expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_vmap_equals_a_loop(name):
    arguments = arguments_of(name)
    key, *_ = CASES[name].differentiable
    several = jnp.stack([arguments[key], 0.5 * arguments[key]])
    one = lambda array: function(name)(**{**arguments, key: array})  # noqa: E731
    expected = jnp.stack([one(array) for array in several])
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(several), expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_eight_devices_equal_one(name):
    arguments = arguments_of(name)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    shard = functools.partial(jax.device_put, device=jax.NamedSharding(mesh, P("data")))
    found = function(name)(**rows(arguments, shard))
    expected = function(name)(**arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_masked_examples_have_loss_zero_and_do_not_change_the_others(name):
    arguments = arguments_of(name)
    with_nan = function(name)(**with_hidden(arguments, np.nan), where=WHERE)
    with_number = function(name)(**with_hidden(arguments, 0.7), where=WHERE)
    assert not np.any(with_nan[HIDDEN])
    np.testing.assert_array_equal(with_nan, with_number)


@every_loss
def test_the_gradient_is_finite_and_zero_where_masked(name):
    found = gradient(name, with_hidden(arguments_of(name), np.nan), where=WHERE)
    for key, array in found.items():
        assert np.isfinite(array).all()
        if array.shape[:1] == (BATCH,):
            assert not np.any(array[HIDDEN]), key


@every_loss
def test_every_differentiable_argument_has_a_finite_nonzero_gradient(name):
    found = gradient(name, arguments_of(name))
    assert all(np.any(array) and np.isfinite(array).all() for array in found.values())


@every_loss
@pytest.mark.parametrize("size", [0, BATCH])
def test_an_empty_or_fully_masked_batch_has_loss_zero(name, size):
    arguments = rows(arguments_of(name), lambda x: x[:size])
    found = function(name)(**arguments, where=np.zeros(size, bool))
    assert found.shape[0] == size
    assert not np.any(found)


@every_loss
def test_bfloat16_is_computed_in_float32(name):
    def half(arguments):
        return {
            key: jnp.asarray(value, jnp.bfloat16) if np.asarray(value).dtype.kind == "f" else value
            for key, value in arguments.items()
        }

    low = half(arguments_of(name))
    exact = function(name)(
        **{
            key: value.astype(jnp.float32) if value.dtype == jnp.bfloat16 else value
            for key, value in low.items()
        }
    )
    found = function(name)(**low)
    assert found.dtype == (jnp.bfloat16 if CASES[name].keeps_dtype else jnp.float32)
    np.testing.assert_array_equal(found, exact.astype(found.dtype))
