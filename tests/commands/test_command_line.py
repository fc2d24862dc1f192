"""Configs are found by name from any folder, and paths are resolved."""

import pathlib

import pytest
from absl import flags

from cgar_jax.commands import command_line
from tests import running as commands
from tests.commands.test_runs import write_run


def test_a_config_is_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command_line.find_config("sudoku_mini") == str(commands.ROOT / "configs/sudoku_mini.py")
    assert command_line.find_config("sudoku_mini.py:trm").endswith("configs/sudoku_mini.py:trm")


def test_a_path_goes_before_a_name_and_keeps_its_method(tmp_path, monkeypatch):
    (tmp_path / "sudoku_mini.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert command_line.find_config("sudoku_mini.py:trm") == "sudoku_mini.py:trm"


def test_the_home_folder_is_expanded_in_the_path_of_a_config(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command_line.find_config("~/mine.py") == str(tmp_path / "mine.py")


@pytest.mark.parametrize("name", ["sudoku_mni", "sudoku_mni:trm", "nowhere/sudoku_minis.py"])
def test_an_unknown_config_is_an_error_that_names_the_nearest(name):
    with pytest.raises(ValueError, match=r"did you mean 'sudoku_mini'\? give the path"):
        command_line.find_config(name)


def test_every_config_has_a_name():
    files = (commands.ROOT / "configs").glob("*.py")
    assert command_line.config_names() == sorted(file.stem for file in files)


SIZE = "--config.data.size=4"


@pytest.mark.parametrize(
    "arguments",
    [
        ["sudoku_mini:trm", SIZE],
        [SIZE, "sudoku_mini:trm"],
        ["--devices", "1", SIZE, "sudoku_mini:trm"],
        ["--config=sudoku_mini:trm", SIZE],
        [SIZE, "--config", "sudoku_mini:trm"],
        [f"{commands.ROOT}/configs/sudoku_mini.py:trm", SIZE],
    ],
    ids=" ".join,
)
def test_a_command_takes_its_config_in_any_of_these_ways(arguments, cache, tmp_path):
    file = tmp_path / "figures.json"
    arguments = (*arguments, "--config.data.num_clues=6", "--device=h100", f"--json={file}")
    code, output = commands.run("estimate", *arguments, cache=cache, folder=tmp_path)
    assert code == 0, output
    assert "sudoku_mini.py:trm on 1 x h100" in output
    assert "depth (6, 3)" in output
    assert "depth (2, 1)" not in output  # the method trm has one depth
    assert file.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "cgar estimate needs a CONFIG: the path of a config file, or a name (arc_agi_1, "),
        (["sudoku_mini"], "cgar estimate needs --device"),
        (["sudoku_mni"], "there is no config 'sudoku_mni'; did you mean 'sudoku_mini'"),
        (["nothing_like_it"], "one of the names arc_agi_1, arc_agi_2, arc_mini, maze_hard, "),
        (["--config=sudoku_mni"], "did you mean 'sudoku_mini'"),
        (["sudoku_mini", "h100"], "unexpected arguments ['h100']"),
        (["sudoku_mini", "--config.sed=1"], "did you mean 'seed'"),
        (
            ["sudoku_mini", "--config.sampling.full_at=0.5"],
            "config.sampling has no key 'full_at'; its keys are name",
        ),
        (["sudoku_mini", "--config.data.sets=a"], "config.data has no key 'sets'; its keys are "),
        (["sudoku_mini", "--config.seed.x=1"], "config.seed is 0, so there is no config.seed.x"),
        (["sudoku_mini", "--config.curriculum.boundaries[0]=0.2"], "curriculum.boundaries[0]"),
        (["sudoku_mini", "--devics=1"], "Did you mean: device"),
        (["sudoku_mini:cgr"], "unknown method 'cgr'"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(arguments, message, cache):
    if message != "cgar estimate needs --device":
        arguments = [*arguments, "--device=h100"]
    code, output = commands.run("estimate", *arguments, cache=cache)
    assert code == 2, output
    assert message in output
    assert output.count("\n") == 1


def parsed(parser, text):
    values = flags.FlagValues()
    flags.DEFINE(parser, "path", None, "", flag_values=values)
    values(["program", f"--path={text}"])
    return values.path


def test_the_home_folder_is_expanded_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert parsed(command_line.PathParser(), "~/runs/one") == "/home/me/runs/one"
    assert parsed(command_line.WorkdirParser(), "~/runs/one") == "/home/me/runs/one"
    assert parsed(command_line.PathParser(), "runs/~one") == "runs/~one"


def test_latest_is_the_newest_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(pathlib.Path("runs/old"), age=100)
    write_run(pathlib.Path("runs/new"), age=50)
    write_run(pathlib.Path("other/newest"), age=0)
    assert parsed(command_line.WorkdirParser(), "latest") == "runs/new"
    assert parsed(command_line.WorkdirParser(), "other/latest") == "other/newest"
    assert parsed(command_line.WorkdirParser(), "OWNER/NAME") == "OWNER/NAME"


def test_latest_without_a_run_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(flags.IllegalFlagValueError, match="there is no run in the folder runs"):
        parsed(command_line.WorkdirParser(), "latest")
