"""Sign-SGD on the rows of a table next to a loop over the rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import optimizers

sparse_sign_sgd = jax.jit(optimizers.sparse_sign_sgd)


def reference(table, identifiers, row_gradients, learning_rate, weight_decay):
    table = np.array(table, np.float64)
    for row in set(identifiers):
        gradient = sum(g for i, g in zip(identifiers, row_gradients, strict=True) if i == row)
        table[row] *= 1 - learning_rate * weight_decay
        table[row] -= learning_rate * np.sign(gradient)
    return table


def some(rows=6, batch=8, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    table = jnp.asarray(rng.normal(size=(rows, dim)), jnp.float32)
    # With small whole numbers, sums are exact and gradients of duplicate rows can cancel to zero.
    gradients = jnp.asarray(rng.integers(-2, 3, size=(batch, dim)), jnp.float32)
    return table, jnp.asarray(rng.integers(0, rows, batch)), gradients


@given(st.integers(0, 2**31))
def test_the_update_agrees_with_a_loop_over_the_rows(seed):
    table, identifiers, gradients = some(seed=seed)
    found = sparse_sign_sgd(table, identifiers, gradients, 0.1, 0.5)
    expected = reference(table, identifiers.tolist(), np.asarray(gradients), 0.1, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_gradients_of_a_duplicate_row_are_summed_before_the_sign():
    gradients = jnp.array([[3.0], [-1.0], [-1.0]])
    found = sparse_sign_sgd(jnp.array([[1.0], [1.0]]), jnp.array([1, 1, 1]), gradients, 0.1, 0.5)
    np.testing.assert_allclose(found, [[1.0], [0.95 - 0.1]], rtol=1e-6)


def test_rows_outside_the_batch_keep_every_bit():
    table, _, gradients = some()
    found = sparse_sign_sgd(table, jnp.full(8, 2), gradients, 0.1, 1.0)
    untouched = np.array([0, 1, 3, 4, 5])
    np.testing.assert_array_equal(found[untouched], table[untouched])
    assert (found[2] != table[2]).all()


def test_a_row_whose_gradients_cancel_only_decays():
    table = jnp.array([[2.0]])
    found = sparse_sign_sgd(table, jnp.array([0, 0]), jnp.array([[1.0], [-1.0]]), 0.1, 1.0)
    np.testing.assert_allclose(found, [[1.8]], rtol=1e-6)


def test_padding_changes_no_row():
    table, identifiers, gradients = some()
    where = jnp.arange(8) < 3
    found = sparse_sign_sgd(
        table,
        jnp.where(where, identifiers, 5),
        jnp.where(where[:, None], gradients, jnp.nan),
        0.1,
        1.0,
        where=where,
    )
    expected = sparse_sign_sgd(table, identifiers[:3], gradients[:3], 0.1, 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_batch_of_only_padding_changes_nothing():
    table, identifiers, gradients = some()
    found = sparse_sign_sgd(table, identifiers, gradients, 0.1, 1.0, where=jnp.zeros(8, bool))
    np.testing.assert_array_equal(found, table)


def test_the_table_keeps_its_dtype():
    table, identifiers, gradients = some()
    found = sparse_sign_sgd(table.astype(jnp.bfloat16), identifiers, gradients, 0.1, 1.0)
    assert found.dtype == jnp.bfloat16


def test_jit_agrees_with_eager_evaluation():
    eager = optimizers.sparse_sign_sgd(*some(), 0.1, 1.0)
    np.testing.assert_allclose(sparse_sign_sgd(*some(), 0.1, 1.0), eager, rtol=1e-6)


def test_the_cost_does_not_grow_with_the_table():
    def flops(rows):
        update = jax.jit(optimizers.sparse_sign_sgd, donate_argnums=0)
        return update.lower(*some(rows), 0.1, 1.0).compile().cost_analysis()["flops"]

    assert flops(10_000) == flops(100)


def test_a_table_sharded_over_eight_devices_gives_the_same_result():
    table, identifiers, gradients = some(rows=16, batch=8)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    sharded = jax.device_put((table, identifiers, gradients), rows)
    np.testing.assert_allclose(
        sparse_sign_sgd(*sharded, 0.1, 1.0),
        sparse_sign_sgd(table, identifiers, gradients, 0.1, 1.0),
        rtol=1e-6,
    )


def test_gradients_of_the_wrong_shape_raise_an_error():
    table, identifiers, gradients = some()
    with pytest.raises(AssertionError):
        sparse_sign_sgd(table, identifiers[:4], gradients, 0.1, 1.0)
