"""A curriculum that deepens when the loss stops falling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import curricula
from cgar_jax.curricula import Depth


def depths_of(losses, latest=1.0, **settings):
    """Returns the index of the depth of each step, for a run with these losses."""
    total = len(losses)
    (depths,) = curricula.plateau_depth_curriculum(latest=latest, **settings).stages

    def step(state, now):
        number, loss = now
        chosen = depths.choose(state, jax.random.key(0), number / total)
        return depths.update(state, loss, total), chosen

    numbers = jnp.arange(total, dtype=jnp.float32)
    return np.asarray(
        jax.lax.scan(step, depths.init(total), (numbers, jnp.asarray(losses, jnp.float32)))[1]
    )


@pytest.mark.parametrize(("window", "patience"), [(1, 1), (1, 3), (4, 1), (5, 2)])
def test_a_constant_loss_moves_to_the_next_depth_after_the_patience(window, patience):
    found = depths_of(np.ones(60), window=window / 60, patience=patience)
    first, second = window * (1 + patience), window * (1 + 2 * patience)
    expected = (np.arange(60) >= first).astype(int) + (np.arange(60) >= second)
    np.testing.assert_array_equal(found, expected)


def test_a_loss_that_falls_fast_keeps_the_first_depth():
    assert not depths_of(0.98 ** np.arange(100), window=0.01, patience=1, improvement=0.01).any()


def test_a_loss_that_falls_too_slowly_is_a_plateau():
    assert depths_of(0.98 ** np.arange(100), window=0.01, patience=1, improvement=0.03)[-1] == 2


def test_noise_within_a_window_is_not_a_plateau():
    rising_and_falling = 0.9 ** np.repeat(np.arange(10), 10) * np.tile([0.5, 1.5], 50)
    assert not depths_of(rising_and_falling, window=0.1, patience=1).any()
    assert depths_of(rising_and_falling, window=0.01, patience=1).any()


def test_from_the_latest_moment_on_the_depth_is_full():
    falling = 0.9 ** np.arange(50)
    np.testing.assert_array_equal(depths_of(falling, latest=0.6), [0] * 30 + [2] * 20)


def test_plateaus_are_planned_to_share_the_time_before_the_latest_moment():
    planned = curricula.plateau_depth_curriculum(latest=0.6).relative_cost("gradient_aware")
    progressive = curricula.progressive_depth_curriculum(boundaries=(0.3, 0.6))
    assert planned == pytest.approx(progressive.relative_cost("gradient_aware"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": ((6, 3),)}, "two or more"),
        ({"stages": ((6, 3), (2, 1))}, "more expensive than the one before"),
        ({"stages": ((2, 1), Depth(2, 2, exits=(1, 2)))}, "no early exits"),
        ({"latest": 0}, "latest is 0"),
        ({"window": 2}, "window is 2"),
        ({"patience": 0}, "patience is 0"),
        ({"improvement": 1}, "improvement is 1"),
    ],
)
def test_an_invalid_plateau_curriculum_raises_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        curricula.plateau_depth_curriculum(**settings)
