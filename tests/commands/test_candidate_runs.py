"""Runs of candidate models from the command line: scores, resume, verified search."""

import json
import re
import signal

import pytest

from tests import running as commands

TINY = [
    "--config=configs/sudoku_deduction_mini.py",
    *commands.TINY_DATA,
    "--config.model.hidden_size=8",
    "--config.model.inner_size_multiple=8",
    "--config.curriculum.stages=((0, 2),)",
    "--config.curriculum.boundaries=()",
    "--config.optimizer.warmup_steps=0",
    "--config.training.steps=30",
    "--config.training.steps_per_dispatch=3",
    "--config.training.microbatches=1",
    "--config.checkpoint.every_steps=6",
    "--config.evaluation.every_steps=30",
]
ALMOST = ".234341221434321"  # one cell is empty
SEVERAL = "1..............."  # has several solutions


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    workdir = tmp_path_factory.mktemp("candidates") / "run"
    code, output = commands.run("train", *TINY, f"--workdir={workdir}", cache=cache)
    assert code == 0, output
    return workdir


def solve(run, cache, *arguments):
    return commands.run_apart("solve", f"--workdir={run}", *arguments, cache=cache)


def test_the_result_compares_the_search_with_singles(run):
    result = commands.result(run)
    assert result["verified_fraction"] == result["verified_fraction_control"] == 1
    assert result["wrong_fraction"] == 0
    assert result["passes_median"] >= 1
    assert result["passes_median_control"] >= 1
    shares = ("accuracy_without_search", "removed_fraction", "unsound_fraction")
    assert all(0 <= result[name] <= 1 for name in shares)


def test_a_killed_run_ends_with_the_same_parameters(run, tmp_path, cache):
    workdir = tmp_path / "run"
    flags = [*TINY, f"--workdir={workdir}"]
    killed = commands.start("train", *flags, cache=cache, log=tmp_path / "log")
    commands.wait_for(lambda: commands.newest_step(workdir) >= 6, killed)
    killed.signal(signal.SIGKILL)
    killed.wait()
    code, output = commands.run("train", *flags, cache=cache)
    assert code == 0, output
    digests = [commands.result(folder)["parameters_sha256"] for folder in (run, workdir)]
    assert digests[0] == digests[1]


def test_solve_prints_one_object_per_puzzle(run, cache):
    code, output, _ = solve(run, cache, "--json", ALMOST, SEVERAL)
    assert code == 0
    first, second = [json.loads(line) for line in output.splitlines()]
    assert first["answer"] == "1" + ALMOST[1:]
    assert first["verified"]
    assert first["passes"] == 1
    assert second["verified"]


def test_puzzles_are_left_when_the_seconds_are_spent(run, cache):
    code, output, errors = solve(run, cache, "--json", "--seconds=1e-6", "." * 16)
    assert code == 3, errors
    assert json.loads(output)["answer"] is None


def test_a_budget_of_zero_is_an_error(run, cache):
    code, _, errors = solve(run, cache, "--budget=0", ALMOST)
    assert code == 2
    assert "--budget" in errors


def test_a_flag_of_deep_supervision_is_an_error(run, cache):
    code, _, errors = solve(run, cache, "--num_rollouts=4", ALMOST)
    assert code == 2
    assert "--num_rollouts does not apply to this model" in errors


def test_a_report_shows_the_search_beside_the_control(run, tmp_path, cache):
    flags = (f"--workdir={run}", f"--output={tmp_path}", "--num_puzzles=12")
    code, output = commands.run("report", *flags, cache=cache)
    assert code == 0, output
    pictures = {"accuracy_by_loop", "solved_by_passes", "passes_by_difficulty"}
    of_training = {"learning_curves", "accuracy_by_flops", "training_signals"}
    assert {path.stem for path in tmp_path.glob("*.svg")} == pictures | of_training
    page = (tmp_path / "index.html").read_text()
    assert page.count("Test puzzles, drawn at random: 12 of run.") == len(pictures)
    assert "halting" not in re.sub("<details>.*?</details>", "", page, flags=re.DOTALL)
    assert "image/gif" in page
