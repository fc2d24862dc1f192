"""The device mesh: sizes of its axes, and errors for sizes that do not fit."""

import pytest

from cgar_jax.mesh import make_mesh, parts_of_share


@pytest.mark.parametrize(
    ("axes", "sizes"),
    [
        ({"data": -1}, (8, 1)),
        ({"data": -1, "fsdp": 4}, (2, 4)),
        ({"fsdp": -1}, (1, 8)),
        ({"data": 2, "fsdp": 2}, (2, 2)),
    ],
)
def test_minus_one_means_all_remaining_devices(axes, sizes):
    assert make_mesh(axes, batch_size=16).shape == dict(zip(("data", "fsdp"), sizes, strict=True))


def test_an_abstract_mesh_may_have_more_devices_than_this_machine():
    assert make_mesh({"data": -1, "fsdp": 4}, 768, num_devices=256).shape["data"] == 64


@pytest.mark.parametrize(
    ("batch_size", "nearest"), [(100, "96 or 104"), (5, "8 or 16"), (0, "8 or 16")]
)
def test_a_batch_that_does_not_divide_evenly_is_an_error_with_the_nearest_sizes(
    batch_size, nearest
):
    with pytest.raises(ValueError, match=rf"8 devices .*use {nearest}"):
        make_mesh({"data": 8}, batch_size)


def test_microbatches_must_divide_the_share_of_a_device():
    with pytest.raises(ValueError, match=r"times 3 microbatches; use 24 or 48"):
        make_mesh({"data": 8}, batch_size=32, microbatches=3)


def test_a_microbatch_has_at_least_one_example():
    assert make_mesh({"data": 8}, batch_size=32, microbatches=64).size == 8
    assert parts_of_share(32, microbatches=64, num_devices=8) == 4


@pytest.mark.parametrize("axes", [{"data": 9}, {"data": 4, "fsdp": 4}, {"data": 0}, {"fsdp": 16}])
def test_axes_that_do_not_fit_the_devices_are_an_error(axes):
    with pytest.raises(ValueError, match=r"mesh\.data is .*, but there are 8 devices"):
        make_mesh(axes, batch_size=16)


def test_at_most_one_axis_may_be_minus_one():
    with pytest.raises(ValueError, match="one of them may be -1"):
        make_mesh({"data": -1, "fsdp": -1}, batch_size=16)


def test_an_unknown_axis_is_an_error():
    with pytest.raises(ValueError, match="the only axes are 'data' and 'fsdp'"):
        make_mesh({"data": 1, "model": 2}, batch_size=8)
