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


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_that_does_not_end_before_the_run_is_shortened_to_half_of_it(schedule):
    np.testing.assert_array_equal(rates(0.3, 9, 9, schedule), rates(0.3, 4, 9, schedule))
    np.testing.assert_array_equal(rates(0.3, 500, 1, schedule), rates(0.3, 0, 1, schedule))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -0.1),
        ("learning_rate", float("nan")),
        ("warmup_steps", -1),
        ("warmup_steps", 1.5),
        ("total_steps", 0),
        ("final_fraction", -0.1),
        ("final_fraction", 1.1),
    ],
)
def test_a_setting_outside_its_range_raises_an_error_that_names_it(name, value):
    settings = {"learning_rate": 0.1, "warmup_steps": 0, "total_steps": 10, name: value}
    with pytest.raises(ValueError, match=f"{name} is {value}, but it must be"):
        learning_rate_schedule(**settings)


def test_an_unknown_schedule_suggests_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        learning_rate_schedule(0.1, 0, 10, "cosin")
