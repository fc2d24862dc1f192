"""The device mesh and its border checks."""

import pytest

from cgar_jax.training.mesh import make_mesh


def test_minus_one_takes_every_device():
    assert make_mesh({"data": -1}, batch_size=16).shape == {"data": 8}


@pytest.mark.parametrize(
    ("batch_size", "nearest"), [(100, "96 or 104"), (5, "8 or 16"), (0, "8 or 16")]
)
def test_a_batch_that_does_not_divide_evenly_is_told_the_nearest_sizes(batch_size, nearest):
    with pytest.raises(ValueError, match=rf"8 devices .*use {nearest}"):
        make_mesh({"data": 8}, batch_size)


def test_more_devices_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"mesh\.data is 9 but there are 8 devices"):
        make_mesh({"data": 9}, batch_size=9)


def test_an_unknown_axis_is_an_error():
    with pytest.raises(ValueError, match="expected 'data' alone"):
        make_mesh({"data": 1, "model": 2}, batch_size=8)
