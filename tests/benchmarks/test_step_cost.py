"""The benchmark of a training step times every stage and says what its figures are of."""

import json

import pytest

from tests import running as commands
from tests.launch import scripts


def benchmark(folder, *flags):
    """The figures of a tiny config, and what the command printed."""
    code, output = scripts.run(
        "benchmarks/step_cost.py",
        *commands.TINY,
        "--steps=2",
        "--matrix_size=64",
        f"--json={folder / 'figures.json'}",
        *flags,
        CGAR_DATA_DIR=str(folder),
        XLA_FLAGS=commands.HASTY,
    )
    assert code == 0, output
    return json.loads((folder / "figures.json").read_text()), output


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Of data that lie on the device."""
    return benchmark(tmp_path_factory.mktemp("benchmark"), "--turns=2")


def test_every_stage_of_the_curriculum_is_timed(found):
    figures, output = found
    assert [stage["depth"] for stage in figures["stages"]] == ["(1, 1)", "(2, 2)"]
    for stage in figures["stages"]:
        assert 0 < stage["step_seconds"]["low"] <= stage["step_seconds"]["median"]
        assert stage["compile_seconds"] > 0
        assert f"depth {stage['depth']}" in output


def test_a_deeper_stage_has_the_flops_of_the_formula_and_more_of_them(found):
    shallow, deep = found[0]["stages"]
    ratio = deep["hardware_flops"] / shallow["hardware_flops"]
    # Calls of the network: 2 with gradient count four times each, against 3 without and 3 with.
    assert ratio == pytest.approx((3 + 4 * 3) / (4 * 2), rel=0.05)


def test_the_share_is_of_the_rate_that_was_measured_beside_it(found):
    figures, _ = found
    rate = figures["matrix_flops_per_second"]["median"]
    for stage in figures["stages"]:
        seconds = stage["step_seconds"]["median"]
        assert stage["share_of_matrix_rate"] * rate * seconds == pytest.approx(
            stage["hardware_flops"]
        )


def test_data_that_are_streamed_are_waited_for(tmp_path):
    streamed = "--config.data.max_device_megabytes=0", "--config.sampling.name=epoch_sampling"
    figures, _ = benchmark(tmp_path, *streamed, "--turns=1")
    for stage in figures["stages"]:
        assert 0 < stage["share_waiting_for_data"] < 1
