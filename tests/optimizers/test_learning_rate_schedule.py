"""The learning rate of each update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.optimizers import learning_rate_schedule


def rates(*args, **kwargs):
    schedule = learning_rate_schedule(*args, **kwargs)
    return jax.jit(jax.vmap(schedule))(jnp.arange(args[2]))


def test_the_warm_up_rises_from_the_first_update_and_stays_at_the_peak():
    found = rates(0.4, 4, 7, "constant")
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4], rtol=1e-6)


def test_the_cosine_ends_at_the_final_fraction():
    # After one warm-up update, the cosines are those of 0, 60, 120 and 180 degrees.
    found = rates(1.0, 1, 4, "cosine", 0.2)
    np.testing.assert_allclose(found, [1, 0.8, 0.4, 0.2], rtol=1e-6)


def test_without_warm_up_the_first_update_has_the_peak_rate():
    np.testing.assert_allclose(rates(0.3, 0, 2), [0.3, 0.3], rtol=1e-6)


def test_the_cosine_with_a_final_fraction_of_one_is_constant():
    np.testing.assert_allclose(rates(0.3, 2, 9, "cosine", 1.0), rates(0.3, 2, 9), rtol=1e-6)


@pytest.mark.parametrize("warmup_steps", [10, 11, -1])
def test_a_run_that_ends_during_its_warm_up_raises_an_error(warmup_steps):
    with pytest.raises(ValueError, match=f"warmup_steps is {warmup_steps}.*10 steps of the run"):
        learning_rate_schedule(0.1, warmup_steps, 10)


@pytest.mark.parametrize("final_fraction", [-0.1, 1.1])
def test_a_final_fraction_outside_the_unit_interval_raises_an_error(final_fraction):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        learning_rate_schedule(0.1, 0, 10, "cosine", final_fraction)


def test_an_unknown_schedule_suggests_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        learning_rate_schedule(0.1, 0, 10, "cosin")
