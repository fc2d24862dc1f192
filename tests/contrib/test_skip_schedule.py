import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import contrib

progress = st.floats(0, 1)


def test_neighbors_come_first_and_every_pair_comes_last():
    schedule = contrib.skip_schedule(7)
    assert schedule(0) == 1
    assert schedule(1) == 7


@given(st.integers(1, 50), st.floats(0.1, 1), progress, progress)
def test_the_distance_never_decreases(max_distance, full_at, a, b):
    schedule = contrib.skip_schedule(max_distance, full_at)
    assert 1 <= schedule(min(a, b)) <= schedule(max(a, b)) <= max_distance


def test_each_distance_gets_the_same_share_of_training():
    schedule = contrib.skip_schedule(4)
    distances = [int(schedule(step / 20)) for step in range(20)]
    assert distances == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5


def test_a_distance_begins_at_its_step_in_spite_of_float_error():
    # In float32, 0.1 / 0.3 * 6 is less than 2.
    schedule = contrib.skip_schedule(6, full_at=0.3)
    assert [int(schedule(step / 10)) for step in range(4)] == [1, 3, 5, 6]


def test_every_pair_is_compared_from_full_at_on():
    schedule = contrib.skip_schedule(5, full_at=0.4)
    assert schedule(0.39) == 5
    assert schedule(0.3) == 4
    assert schedule(0.9) == 5


def test_it_is_an_integer_under_jit_and_serves_as_the_distance_of_a_ranking_loss():
    schedule = contrib.skip_schedule(4)
    scores = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    labels = -scores

    @jax.jit
    def at(progress):
        distance = schedule(progress)
        return distance, contrib.rank_list_loss(scores, labels, max_distance=distance)[0]

    assert at(0.3)[0].dtype == jnp.int32
    softplus = np.logaddexp(0, [1, 2, 3, 4])
    np.testing.assert_allclose(at(0.0)[1], 4 * softplus[0], rtol=1e-6)
    np.testing.assert_allclose(at(1.0)[1], [4, 3, 2, 1] @ softplus, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [((0,), "max_distance is 0"), ((3, 0), "full_at is 0"), ((3, 1.1), "full_at is 1.1")],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        contrib.skip_schedule(*settings)


@pytest.mark.parametrize("progress", [-0.1, 1.1])
def test_progress_outside_the_unit_interval_is_refused(progress):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        contrib.skip_schedule(3)(progress)
