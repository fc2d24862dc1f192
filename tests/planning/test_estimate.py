"""Estimates from a config alone: no data, no devices, one clear message for bad input."""

import re

import pytest

from cgar_jax.planning.cost_tables import fits, tables
from cgar_jax.planning.devices import DEVICES
from cgar_jax.planning.estimate import OF_MEASURED_RATE, estimate
from tests.running import load
from tests.test_configs import CONFIGS, FULL_SIZE


def config_of(name):
    return load(CONFIGS[0].with_name(f"{name}.py")).get_config()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "h20"}, "unknown device 'h20'; did you mean 'h200'"),
        ({"num_devices": 7}, "use 763 or 770"),
        ({"num_devices": 0}, "num_devices is 0; expected 1 or more"),
        ({"utilization": 4}, "greater than 0 and at most 1"),
        ({"num_puzzle_identifiers": -1}, "num_puzzle_identifiers is -1; expected 0 or more"),
        ({"device": "cpu", "num_devices": 2}, "expected 1 device, not 2"),
    ],
)
def test_invalid_settings_are_explained(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        estimate(config_of("sudoku_extreme"), **({"device": "h200"} | settings))


@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: path.stem)
def test_every_full_size_config_fits_eight_h200(path):
    found = estimate(load(path).get_config(), "h200", 8)
    assert found.costs.train_seconds > 0
    assert fits(found.costs.memory_bytes, found.device) == "fits"


def test_a_device_may_be_given_by_name_or_by_its_figures():
    config = config_of("sudoku_mini")
    assert estimate(config, "h100").costs == estimate(config, DEVICES["h100"]).costs


def test_more_variants_of_arc_need_more_memory():
    config = config_of("arc_agi_1")
    sizes = []
    for rows in (0, 2 * 1024 * 1024):
        found = estimate(config, "h100", 8, num_puzzle_identifiers=rows)
        sizes.append(found.costs.stages[0].memory["puzzle embeddings"])
    assert sizes[0] == 961_536 * 512 * 4 / 8  # 960 puzzles in a thousand variants and themselves
    assert sizes[1] == 2 * 1024 * 1024 * 512 * 4 / 8


@pytest.mark.parametrize(
    ("share", "beginning"), [(0.5, "fits"), (0.8, "tight"), (1.2, "does not fit")]
)
def test_the_fit_of_the_memory_is_described_in_words(share, beginning):
    device = DEVICES["v5e"]
    assert fits(share * device.memory, device).startswith(beginning)


def test_the_device_cpu_is_this_machine_as_measured():
    found = estimate(config_of("sudoku_mini"), "cpu")
    measured = found.measurement
    assert 1e8 < measured.flops_per_second < 1e14
    assert 1e8 < measured.memory_bandwidth < 1e13
    assert measured.dtype == "float32"
    assert measured.num_examples == 32
    assert found.utilization == OF_MEASURED_RATE
    assert found.device.float32_flops == measured.flops_per_second
    titles = [table.title for table in tables(found, "title")]
    assert titles[:2] == ["title", "this machine, measured"]
    assert "70% of the measured rate (assumed)" in titles[2]
