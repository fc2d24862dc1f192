"""Long commands report their progress on stderr, and their results on stdout."""

import json

import pytest

from tests import running as commands


def test_evaluate_reports_progress_on_stderr(finished_run, cache, tmp_path):
    output = f"--output={tmp_path}/scores.json"
    arguments = (f"--workdir={finished_run[0]}", output)
    code, stdout, stderr = commands.run_apart("evaluate", *arguments, cache=cache)
    assert code == 0, stderr
    assert "loading the model" in stderr
    assert "exact accuracy" in stdout
    assert "loading the model" not in stdout
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["exact_accuracy"] == commands.result(finished_run[0])["exact_accuracy"]


@pytest.mark.parametrize(
    ("name", "activity"),
    [("export", "loading the model"), ("report", "loading the runs")],
)
def test_other_commands_report_progress_on_stderr(name, activity, finished_run, cache, tmp_path):
    arguments = [f"--workdir={finished_run[0]}", f"--output={tmp_path}/output"]
    if name == "report":
        arguments += ["--num_puzzles=2", "--num_minibatches=0"]
    code, stdout, stderr = commands.run_apart(name, *arguments, cache=cache)
    assert code == 0, stderr
    assert activity in stderr
    assert activity not in stdout
