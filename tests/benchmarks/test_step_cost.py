"""Tests that the benchmark of a training step times every stage, and what its figures refer to."""

import json

import pytest

from tests import running as commands
from tests.launch import scripts


def benchmark(folder, *flags):
    """Runs the benchmark on a tiny config, and returns its figures and everything printed."""
    code, output = scripts.run_benchmark(
        "step_cost",
        *commands.TINY,
        "--steps=2",
        "--matrix_size=64",
        f"--json={folder / 'figures.json'}",
        *flags,
        CGAR_DATA_DIR=str(folder),
    )
    assert code == 0, output
    return json.loads((folder / "figures.json").read_text()), output


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """A folder for the profile."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture(scope="module")
def resident(tmp_path_factory, profile):
    """Figures and output for a training set that is stored on the device."""
    return benchmark(tmp_path_factory.mktemp("benchmark"), "--turns=2", f"--profile={profile}")


def test_every_stage_of_the_curriculum_is_timed(resident):
    figures, output = resident
    assert [stage["depth"] for stage in figures["stages"]] == ["(1, 1)", "(2, 2)"]
    for stage in figures["stages"]:
        assert 0 < stage["step_seconds"]["low"] <= stage["step_seconds"]["median"]
        assert stage["compile_seconds"] > 0
        assert f"depth {stage['depth']}" in output


def test_the_flops_of_the_stages_follow_the_formula(resident):
    shallow, deep = resident[0]["stages"]
    ratio = deep["hardware_flops"] / shallow["hardware_flops"]
    # Network calls: depth (1, 1) has 2 with gradient, depth (2, 2) has 3 with and 3 without
    # gradient. A call with gradient counts four times.
    assert ratio == pytest.approx((3 + 4 * 3) / (4 * 2), rel=0.05)


def test_the_share_refers_to_the_matrix_rate_of_the_same_run(resident):
    figures, _ = resident
    rate = figures["matrix_flops_per_second"]["median"]
    for stage in figures["stages"]:
        seconds = stage["step_seconds"]["median"]
        assert stage["share_of_matrix_rate"] * rate * seconds == pytest.approx(
            stage["hardware_flops"]
        )


def test_waiting_for_streamed_data_is_measured(tmp_path):
    streamed = "--config.data.max_device_megabytes=0", "--config.sampling.name=epoch_sampling"
    figures, _ = benchmark(tmp_path, *streamed, "--turns=1")
    for stage in figures["stages"]:
        assert 0 < stage["share_waiting_for_data"] < 1


def test_a_step_is_recorded_by_the_profiler(resident, profile):
    assert list(profile.glob("plugins/profile/*/*.trace.json.gz"))
