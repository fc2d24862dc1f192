"""Looking up rows of a small table."""

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.layers import look_up

TABLE = jax.random.normal(jax.random.key(0), (5, 3))
INDICES = jax.random.randint(jax.random.key(1), (4, 6), 0, 5)


def gradient(rows):
    wanted = jax.random.normal(jax.random.key(2), (4, 6, 3))
    return jax.jit(jax.grad(lambda table: jnp.sum(wanted * rows(table))))


def test_the_rows_are_exactly_those_of_the_table():
    np.testing.assert_array_equal(look_up(TABLE, INDICES), TABLE[INDICES])


def test_the_gradient_is_that_of_indexing():
    found = gradient(lambda table: look_up(table, INDICES))(TABLE)
    np.testing.assert_allclose(found, gradient(lambda t: t[INDICES])(TABLE), rtol=1e-5)


def test_the_gradient_scatters_nothing():
    # A scatter that adds many places to few rows is slow on GPUs.
    assert "scatter" in gradient(lambda t: t[INDICES]).lower(TABLE).as_text()
    assert "scatter" not in gradient(lambda t: look_up(t, INDICES)).lower(TABLE).as_text()
