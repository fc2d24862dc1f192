"""The estimate of a run, as a user asks for it: no data, no devices, one clear message."""

import json
import re

import pytest

from cgar_jax.commands import estimate
from cgar_jax.planning.devices import DEVICES
from tests import running as commands
from tests.running import load
from tests.test_configs import CONFIGS, FULL_SIZE

SUDOKU = "--config=configs/sudoku_extreme.py"


def test_the_command_says_what_a_run_costs_and_writes_the_figures(tmp_path):
    file = tmp_path / "figures.json"
    code, output = commands.run(
        "estimate",
        SUDOKU,
        "--device=h200",
        "--devices=64",
        "--config.mesh.fsdp=8",
        f"--json={file}",
        cache=tmp_path,
    )
    assert code == 0, output
    for said in ("5,028,866", "data 8 x fsdp 8", "fits", "40% of the peak (assumed)", "bottleneck"):
        assert said in output
    figures = json.loads(file.read_text())
    assert [stage["depth"] for stage in figures["stages"]] == ["(2, 1)", "(4, 2)", "(6, 3)"]
    seconds = sum(stage["num_steps"] * stage["step_seconds"] for stage in figures["stages"])
    assert figures["train_seconds"] == pytest.approx(seconds)
    assert {"all-gather", "reduce-scatter"} <= {sent["kind"] for sent in figures["transfers"]}


def test_a_device_that_nobody_knows_is_one_message(tmp_path):
    code, output = commands.run("estimate", SUDOKU, "--device=h20", cache=tmp_path)
    assert code == 2
    assert "did you mean 'h200'" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_devices": 7}, "use 763 or 770"),
        ({"num_devices": 0}, "--devices=0; expected 1 or more"),
        ({"utilization": 4}, "must be more than 0, at most 1"),
        ({"num_puzzle_identifiers": -1}, "expected 0 or more"),
    ],
)
def test_what_cannot_be_is_told(settings, message):
    config = load(CONFIGS[0].with_name("sudoku_extreme.py")).get_config()
    with pytest.raises(ValueError, match=re.escape(message)):
        estimate.estimate(config, DEVICES["h200"], **settings)


@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: path.stem)
def test_every_full_size_config_is_estimated(path):
    result = estimate.estimate(load(path).get_config(), DEVICES["h200"], 8)
    assert result.train_seconds > 0
    assert estimate.fits(result.memory_bytes, DEVICES["h200"]) == "fits"


def test_more_variants_of_arc_need_more_memory():
    config = load(CONFIGS[0].with_name("arc_agi_1.py")).get_config()
    sizes = []
    for rows in (0, 2 * 1024 * 1024):
        result = estimate.estimate(config, DEVICES["h100"], 8, num_puzzle_identifiers=rows)
        sizes.append(result.stages[0].memory["puzzle embeddings"])
    assert sizes[0] == 961_536 * 512 * 4 / 8  # 960 puzzles in a thousand variants and themselves
    assert sizes[1] == 2 * 1024 * 1024 * 512 * 4 / 8


@pytest.mark.parametrize(("share", "said"), [(0.5, "fits"), (0.8, "tight"), (1.2, "does not fit")])
def test_whether_it_fits_is_told_in_words(share, said):
    kind = DEVICES["v5e"]
    assert estimate.fits(share * kind.memory, kind).startswith(said)
