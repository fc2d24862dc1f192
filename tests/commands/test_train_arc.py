"""ARC with the commands, from JSON files to a submission; and a streamed run that is stopped."""

import json
import shutil
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


@pytest.fixture
def puzzle_in_front(folder):
    """A test puzzle is added in front of the others after the run, for the time of one test."""
    before = {path: path.read_text() for path in folder.glob("arc-agi_*.json")}
    write_set(
        folder, "evaluation", [puzzle(40, "a/new"), *(puzzle(9 + n, f"eval{n}") for n in (1, 0))]
    )
    yield "a/new"
    for path, text in before.items():
        path.write_text(text)


def test_evaluate_finds_the_embeddings_of_puzzles_by_name_and_reports_those_without(
    undisturbed, folder, puzzle_in_front
):
    workdir, scores = undisturbed[0], folder / "scores.json"
    submission = read(workdir, "submission")
    code, output = commands.run(
        "evaluate", f"--workdir={workdir}", f"--output={scores}", cache=folder / "cache"
    )
    assert code == 0, output
    assert "1 puzzle new: 'a/new'" in output
    assert "no embedding for them: 'a/new'" in output
    assert json.loads(scores.read_text())["left_out_puzzles"] == ["a/new"]
    assert json.loads(scores.read_text())["pass_at"] == read(workdir, "result")["pass_at"]
    assert read(workdir, "submission") == submission


def test_a_run_is_not_resumed_on_other_puzzles(undisturbed, arguments, folder, puzzle_in_front):
    run = (*arguments, f"--workdir={undisturbed[0]}")
    code, output = commands.run(TRAIN, *run, cache=folder / "cache")
    assert code == 2, output
    assert "was written by training on other data:\n  1 puzzle new: 'a/new'" in output
    assert "--allow_changed_data" in output


def test_a_run_is_resumed_on_other_puzzles_if_that_is_allowed(
    undisturbed, arguments, folder, puzzle_in_front, tmp_path
):
    workdir = shutil.copytree(undisturbed[0], tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "40")
    run = (*arguments, f"--workdir={workdir}", "--allow_changed_data")
    code, output = commands.run(TRAIN, *run, cache=folder / "cache")
    assert code == 0, output
    assert "resuming at step 30" in output
    assert "25 of 30 embeddings are kept" in output
    assert set(read(workdir, "submission")) == {"eval0", "eval1", "a/new"}


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
