"""`cgar runs` lists the runs of a folder with their state and scores."""

import json
import os
import subprocess
import sys
import time

import pytest

from cgar_jax.commands.run_list import find_runs
from cgar_jax.progress import duration
from tests import running as commands

CONFIG = {"data": {"name": "sudoku", "size": 6}, "training": {"steps": 100}}


def write_run(folder, age, log=({"step": 40, "loss": 1.0, "train_seconds": 4.0},), result=None):
    """Writes the files of a run that last changed `age` seconds ago."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    for file in folder.iterdir():
        os.utime(file, (time.time() - age,) * 2)


def only(folder):
    (found,) = find_runs(folder)
    return found


def test_a_run_with_a_result_is_finished(tmp_path):
    result = {"steps": 100, "exact_accuracy": 0.991}
    write_run(tmp_path / "sudoku_mini-0123abcd", age=7_200, result=result)
    found = only(tmp_path)
    assert (found.state, found.step, found.total_steps) == ("finished", 100, 100)
    assert found.exact_accuracy == 0.991
    assert (found.config, found.puzzles) == ("sudoku_mini", "sudoku 6x6")
    assert duration(time.time() - found.modified) == "2 hours"


def test_a_run_whose_log_grows_is_training(tmp_path):
    validation = {"step": 20, "validation/exact_accuracy": 0.5}
    write_run(tmp_path / "run", age=5, log=(validation, {"step": 40, "loss": 1.0}))
    assert only(tmp_path).state == "training"
    assert only(tmp_path).step == 40
    assert only(tmp_path).exact_accuracy == 0.5


def test_a_run_whose_log_has_stopped_growing_is_interrupted(tmp_path):
    write_run(tmp_path / "run", age=600)
    assert only(tmp_path).state == "interrupted"
    assert only(tmp_path).exact_accuracy is None


def test_a_run_of_slow_steps_has_more_time_to_log(tmp_path):
    log = [{"step": step, "loss": 1.0, "train_seconds": 400.0 * step} for step in (1, 2)]
    write_run(tmp_path / "run", age=600, log=log)
    assert only(tmp_path).state == "training"


def test_a_torn_line_of_a_log_is_skipped(tmp_path):
    write_run(tmp_path / "run", age=5)
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "lo')
    assert only(tmp_path).step == 40


def test_folders_that_are_no_runs_are_left_out(tmp_path):
    write_run(tmp_path / "run", age=5)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(CONFIG))  # an exported model
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text("[")
    assert only(tmp_path).folder.name == "run"


def test_the_table_lists_the_newest_run_first(tmp_path, cache):
    write_run(tmp_path / "old-0123abcd", age=600)
    write_run(tmp_path / "new-0123abcd", age=5, result={"steps": 100, "exact_accuracy": 0.991})
    code, output = commands.run("runs", str(tmp_path), cache=cache)
    assert code == 0, output
    assert output.index("new-0123abcd") < output.index("old-0123abcd")
    assert "finished" in output
    assert "interrupted" in output
    assert "99.1%" in output
    assert "40 of 100" in output


def test_json_has_one_object_per_run(tmp_path, cache):
    write_run(tmp_path / "run", age=600)
    _, output = commands.run("runs", str(tmp_path), "--json", cache=cache)
    found = json.loads(output)
    assert found["state"] == "interrupted"
    assert found["folder"] == str(tmp_path / "run")


def test_a_real_run_is_listed(finished_run):
    workdir, _ = finished_run
    (found,) = [run for run in find_runs(workdir.parent) if run.folder == workdir]
    assert (found.state, found.step, found.total_steps) == ("finished", 40, 40)
    assert found.exact_accuracy == commands.result(workdir)["exact_accuracy"]


@pytest.mark.parametrize("name", ["no", "empty"])
def test_a_folder_without_runs_says_how_to_start_one(name, tmp_path, cache):
    (tmp_path / "empty").mkdir()
    code, output = commands.run("runs", str(tmp_path / name), cache=cache)
    assert code == 0
    assert "`cgar train sudoku_mini` starts one" in output


def test_listing_runs_does_not_import_jax(tmp_path):
    program = (
        "import sys; from cgar_jax.commands import cli\n"
        "try: cli.main(['cgar', 'runs', sys.argv[1]])\n"
        "finally: assert 'jax' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
