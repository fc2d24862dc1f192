"""The command `cgar estimate`: its output and its files."""

import json

import pytest

from tests import running as commands

SUDOKU = "--config=configs/sudoku_extreme.py"


def test_the_command_prints_what_a_run_costs_and_writes_the_figures(tmp_path):
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
    for text in ("5,028,866", "data 8 x fsdp 8", "fits", "40% of the peak (assumed)", "bottleneck"):
        assert text in output
    figures = json.loads(file.read_text())
    assert [stage["depth"] for stage in figures["stages"]] == ["(2, 1)", "(4, 2)", "(6, 3)"]
    seconds = sum(stage["training_steps"] * stage["step_seconds"] for stage in figures["stages"])
    assert figures["train_seconds"] == pytest.approx(seconds)
    assert {"all-gather", "reduce-scatter"} <= {sent["kind"] for sent in figures["transfers"]}


def test_an_unknown_device_is_one_message(tmp_path):
    code, output = commands.run("estimate", SUDOKU, "--device=h20", cache=tmp_path)
    assert code == 2
    assert "did you mean 'h200'" in output
    assert "Traceback" not in output
