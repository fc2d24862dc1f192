"""`cgar solve` prints verified answers only, and `cgar rollouts` measures longer thinking."""

import csv
import json
import os
import re
import subprocess
import sys

import pytest

import cgar_jax
from cgar_jax.data import sudoku
from tests import running as commands

ALMOST = ".234341221434321"  # one cell is empty
SOLVED = "1234341221434321"
EMPTY = "." * 16


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    """Workdir of a run that has learned to fill in single cells."""
    workdir = tmp_path_factory.mktemp("run")
    code, output = commands.run(
        "train",
        *(flag for flag in commands.TINY if "steps=40" not in flag and "num_clues" not in flag),
        "--config.data.num_clues=10",
        "--config.training.steps=300",
        "--config.optimizer.learning_rate=1e-2",
        f"--workdir={workdir}",
        cache=cache,
    )
    assert code == 0, output
    return workdir


def solve(run, cache, *arguments):
    return commands.run("solve", f"--workdir={run}", *arguments, cache=cache)


def test_a_solved_puzzle_is_printed_as_verified(run, cache):
    code, output = solve(run, cache, ALMOST)
    assert code == 0, output
    assert "verified after" in output
    assert "1 2 | 3 4\n3 4 | 1 2\n----+----\n2 1 | 4 3\n4 3 | 2 1\n" in output


def test_an_unsolved_puzzle_shows_no_grid_and_means_exit_code_3(run, cache):
    code, output = solve(run, cache, ALMOST, EMPTY, "--max_supervision_steps=1")
    assert code == 3, output
    assert output.count("verified after") == 1
    assert "not solved after 1 supervision step\n" in output
    assert output.count("----+----") == 1
    assert "note: the puzzle has several solutions" in output


def test_an_attempt_is_marked_with_the_rule_that_it_breaks(run, cache):
    code, output = solve(run, cache, EMPTY, "--show_attempt", "--max_supervision_steps=1")
    assert code == 3, output
    assert re.search(
        "best attempt, which is wrong: it has .* expected every digit 1..4 once", output
    )
    assert output.count("\n? ") == 5


def test_answers_are_written_to_a_csv_file_in_the_order_of_the_puzzles(run, cache, tmp_path):
    grids = [".234341221434321", "1234341221.34321", "123434122143.321"]
    puzzles, answers = tmp_path / "puzzles.csv", tmp_path / "answers.csv"
    puzzles.write_text("question\n" + "".join(grid + "\n" for grid in grids))
    code, output = solve(run, cache, str(puzzles), f"--output={answers}")
    assert code == 0, output
    with answers.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["question"] for row in rows] == grids
    assert {row["answer"] for row in rows} == {"1234341221434321"}


BAD = f"{ALMOST}\n11..............\n{ALMOST[:-1]}\n{ALMOST}\n"


def test_bad_puzzles_are_all_listed_before_the_model_is_loaded(run, cache, tmp_path):
    puzzles, model = tmp_path / "puzzles.txt", tmp_path / "run"
    puzzles.write_text(BAD)
    model.mkdir()  # it has settings, but no checkpoint
    (model / "config.json").write_text((run / "config.json").read_text())
    code, output = solve(model, cache, str(puzzles))
    assert code == 2
    assert f"{puzzles}, line 2: the puzzle has 1 more than once in row 1\n" in output
    assert f"{puzzles}, line 3: 15 cells; expected 16" in output


def test_bad_puzzles_can_be_skipped(run, cache, tmp_path):
    puzzles = tmp_path / "puzzles.txt"
    puzzles.write_text(BAD)
    code, output = solve(run, cache, str(puzzles), "--skip_bad", "--quiet")
    assert code == 0, output
    assert "skipped 2 bad puzzles" in output
    assert "2 of 2 solved" in output


@pytest.mark.parametrize(("reader", "code"), [("| true", 0), (">/dev/full", 74), (">&-", 3)])
def test_solving_ends_quietly_if_nobody_takes_the_answers(run, cache, reader, code):
    command = f'"{sys.executable}" -m cgar_jax solve --workdir="{run}" {ALMOST} {EMPTY}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} --max_supervision_steps=1 {reader}"],
        capture_output=True,
        text=True,
        cwd=commands.ROOT,
        env=os.environ | {"CGAR_DATA_DIR": str(cache)},
    )
    assert done.returncode == code, done.stderr
    assert "Broken pipe" not in done.stderr
    assert "Traceback" not in done.stderr
    assert ("output was lost" in done.stderr) == (code == 74)


def test_a_loaded_model_solves_puzzles(run):
    (one,) = cgar_jax.load(run).solve(ALMOST, stop="halting", num_rollouts=2)
    assert one.verified
    assert sudoku.decode(one.answer) == "1234341221434321"


def test_symmetric_copies_are_solved_and_mapped_back(run):
    model = cgar_jax.load(run)
    (one,) = model.solve(ALMOST, stop="budget", num_rollouts=4, views=True)
    assert sudoku.decode(one.answer) == SOLVED
    solver = model.solver(num_rollouts=4, views=True, batch_size=1)
    assert solver(model.read(ALMOST).tokens)[0].verified


def test_json_is_one_object_per_puzzle_and_nothing_else_on_stdout(run, cache, tmp_path):
    puzzles = tmp_path / "puzzles.txt"
    puzzles.write_text(f"\n{ALMOST}\n")
    arguments = (f"--workdir={run}", str(puzzles), EMPTY, "--json", "--max_supervision_steps=1")
    code, output, errors = commands.run_apart("solve", *arguments, cache=cache)
    assert code == 3, errors
    solved, unsolved = map(json.loads, output.splitlines())
    assert solved == {
        "question": ALMOST,
        "answer": SOLVED,
        "verified": True,
        "supervision_steps": 1,
        "source": str(puzzles),
        "line": 2,
    }
    assert unsolved == {
        "question": EMPTY,
        "answer": None,
        "verified": False,
        "supervision_steps": 1,
        "source": "command line",
        "line": 1,
    }
    assert "1 of 2 solved in" in errors
    assert "reading puzzles" in errors


def test_quiet_prints_the_summary_only(run, cache):
    arguments = (f"--workdir={run}", ALMOST, "--quiet")
    code, output, errors = commands.run_apart("solve", *arguments, cache=cache)
    assert code == 0, errors
    assert re.fullmatch(r"1 of 1 solved in .* s, including compilation\n", output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no puzzle; give a file"),
        (["nope.txt"], "there is no file nope.txt"),
        (["1.2.x"], "command line, line 1: 5 cells; expected 16"),
        (["1.2.x"], "(and there is no file '1.2.x')"),
        (["11" + "." * 14], "the puzzle has 1 more than once in row 1"),
        (["." * 81], "81 cells; expected 16"),
        ([ALMOST, "--num_rollouts=0"], "num_rollouts is 0"),
        ([ALMOST, "--json", "--quiet"], "--json and --quiet exclude each other"),
        ([ALMOST, "--workdir=/nowhere/at/all"], "there is no run in /nowhere/at/all"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_exit_code_2(run, cache, arguments, message):
    code, output = solve(run, cache, *arguments)
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output


def test_every_number_of_rollouts_and_of_steps_is_measured(run, cache, tmp_path):
    code, output = commands.run(
        "rollouts",
        f"--workdir={run}",
        "--rollouts=1,2",
        "--steps=1,3",
        "--num_puzzles=5",
        "--batch_size=2",
        f"--output={tmp_path}",
        cache=cache,
    )
    assert code == 0, output
    rows = json.loads((tmp_path / "rollouts.json").read_text())
    assert [(row["rollouts"], row["steps"]) for row in rows] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert [row["flops"] / rows[0]["flops"] for row in rows] == [1, 3, 2, 6]
    assert (tmp_path / "rollouts.png").stat().st_size > 1_000
    assert "5 puzzles; standard error up to" in output


def test_rollouts_can_work_on_symmetric_copies(run, cache):
    arguments = (f"--workdir={run}", "--rollouts=2", "--num_puzzles=4", "--views")
    code, output = commands.run("rollouts", *arguments, cache=cache)
    assert code == 0, output
    assert "residual" in output


def test_a_number_of_rollouts_that_is_no_number_is_an_error(run, cache):
    arguments = (f"--workdir={run}", "--rollouts=1,many")
    code, output = commands.run("rollouts", *arguments, cache=cache)
    assert code == 2, output
    assert "--rollouts is '1,many'; expected positive numbers, such as 1,4,16" in output
