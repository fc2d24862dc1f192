"""`rank_skip_curriculum`: the largest distance of compared ranks over training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib

progress = st.floats(0, 1)


def test_neighbors_are_compared_first_and_every_pair_last():
    curriculum = contrib.rank_skip_curriculum(7)
    assert curriculum(0) == 1
    assert curriculum(1) == 7


@given(st.integers(1, 50), st.floats(0.1, 1), progress, progress)
def test_the_distance_never_decreases(max_distance, full_at, a, b):
    curriculum = contrib.rank_skip_curriculum(max_distance, full_at)
    assert 1 <= curriculum(min(a, b)) <= curriculum(max(a, b)) <= max_distance


def test_each_distance_lasts_for_the_same_share_of_training():
    curriculum = contrib.rank_skip_curriculum(4)
    distances = [int(curriculum(step / 20)) for step in range(20)]
    assert distances == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5


def test_a_distance_begins_at_its_step_in_spite_of_float_error():
    # In float32, 0.1 / 0.3 * 6 is less than 2.
    curriculum = contrib.rank_skip_curriculum(6, full_at=0.3)
    assert [int(curriculum(step / 10)) for step in range(4)] == [1, 3, 5, 6]


def test_every_pair_is_compared_from_full_at_on():
    curriculum = contrib.rank_skip_curriculum(5, full_at=0.4)
    assert curriculum(0.39) == 5
    assert curriculum(0.3) == 4
    assert curriculum(0.9) == 5


def test_the_distance_is_an_integer_under_jit_and_serves_a_ranking_loss():
    curriculum = contrib.rank_skip_curriculum(4)
    scores = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    labels = -scores

    @jax.jit
    def at(progress):
        distance = curriculum(progress)
        return distance, contrib.rank_list_loss(scores, labels, max_distance=distance)[0]

    assert at(0.3)[0].dtype == jnp.int32
    softplus = np.logaddexp(0, [1, 2, 3, 4])
    np.testing.assert_allclose(at(0.0)[1], 4 * softplus[0], rtol=1e-6)
    np.testing.assert_allclose(at(1.0)[1], [4, 3, 2, 1] @ softplus, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [((0,), "max_distance is 0"), ((3, 0), "full_at is 0"), ((3, 1.1), "full_at is 1.1")],
)
def test_an_invalid_setting_raises_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        contrib.rank_skip_curriculum(*settings)


@pytest.mark.parametrize("progress", [-0.1, 1.1])
def test_progress_outside_the_unit_interval_raises_an_error(progress):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        contrib.rank_skip_curriculum(3)(progress)
