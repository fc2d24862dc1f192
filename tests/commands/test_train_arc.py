"""ARC with the commands, from JSON files to a submission; and a streamed run that is stopped."""

import json
import signal

import pytest

from tests import running as commands
from tests.data.arc_puzzles import puzzle, write_set

TRAIN = "train"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arc")
    write_set(folder, "training", [puzzle(n, f"train{n}") for n in range(3)])
    write_set(folder, "evaluation", [puzzle(9 + n, f"eval{n}") for n in range(2)])
    return folder


@pytest.fixture(scope="module")
def arguments(folder):
    """Arguments of a run of seconds on streamed examples, in blocks of three steps."""
    other = ("--config.data.", "--config.curriculum.", "--config.weighting")
    return [
        "--config=configs/arc_mini.py:trm",
        *(option for option in commands.TINY[1:] if not option.startswith(other)),
        "--config.curriculum.depth=(1, 1)",
        f"--config.data.source={folder}",
        "--config.data.test_set=evaluation",
        "--config.data.num_puzzles=0",
        "--config.data.num_validation=1",
        "--config.data.num_variants=4",
        "--config.data.max_device_megabytes=0",
        "--config.model.puzzle_embedding_tokens=1",
        "--config.model.puzzle_embedding_size=16",
    ]


@pytest.fixture(scope="module")
def undisturbed(arguments, folder):
    workdir = folder / "undisturbed"
    code, output = commands.run(TRAIN, *arguments, f"--workdir={workdir}", cache=folder / "cache")
    assert code == 0, output
    return workdir, output


def read(workdir, name):
    return json.loads((workdir / f"{name}.json").read_text())


def test_a_run_ends_with_the_share_of_puzzles_solved_by_voting(undisturbed):
    workdir, output = undisturbed
    assert read(workdir, "result")["num_puzzles"] == 2
    assert read(workdir, "result")["num_votes"] <= 2 * 5
    assert set(read(workdir, "result")["pass_at"]) == {"1", "2", "5", "10", "100", "1000"}
    assert "solved within k answers" in output


def test_a_run_writes_a_submission_in_the_format_of_the_competition(undisturbed):
    submission = read(undisturbed[0], "submission")
    assert set(submission) == {"eval0", "eval1"}
    for (attempts,) in submission.values():
        assert set(attempts) == {"attempt_1", "attempt_2"}
        for grid in attempts.values():
            assert {type(color) for row in grid for color in row} == {int}


def test_the_time_spent_waiting_for_examples_is_reported(undisturbed):
    assert read(undisturbed[0], "result")["data_seconds"] > 0


def test_evaluate_repeats_the_tests_of_the_run(undisturbed, folder):
    workdir, scores = undisturbed[0], folder / "scores.json"
    submission = read(workdir, "submission")
    (workdir / "submission.json").unlink()
    code, output = commands.run(
        "evaluate",
        f"--workdir={workdir}",
        f"--output={scores}",
        cache=folder / "cache",
    )
    assert code == 0, output
    assert json.loads(scores.read_text())["pass_at"] == read(workdir, "result")["pass_at"]
    assert read(workdir, "submission") == submission


def test_a_streamed_run_that_was_stopped_resumes_to_the_same_parameters(
    undisturbed, arguments, folder
):
    workdir = folder / "stopped"
    run = (*arguments, f"--workdir={workdir}")
    process = commands.start(TRAIN, *run, cache=folder / "cache", log=folder / "stopped.log")
    metrics = workdir / "metrics.jsonl"
    commands.wait_for(lambda: metrics.exists() and "step" in metrics.read_text(), process)
    process.signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM, process.output()
    code, output = commands.run(TRAIN, *run, cache=folder / "cache")
    assert code == 0, output
    assert "resuming at step" in output
    sums = [read(path, "result")["parameters_sha256"] for path in (workdir, undisturbed[0])]
    assert sums[0] == sums[1]
