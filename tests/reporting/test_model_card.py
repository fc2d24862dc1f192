"""The model card: its numbers, its claims, and its code, every block of which is run."""

import json
import re
import shlex
import shutil
import types

import numpy as np
import pytest

from cgar_jax import model_loading, trained_model
from cgar_jax.data import rules_of
from cgar_jax.reporting.example_puzzles import example_puzzle
from cgar_jax.reporting.model_card import model_card, training_method
from tests import running as commands
from tests.test_configs import CONFIGS, load

UNSOLVED = 3  # the exit code of `cgar solve` if a puzzle is left unsolved


@pytest.fixture(scope="module")
def model(finished_run):
    return model_loading.load(finished_run[0])


@pytest.fixture(scope="module")
def shared(model, tmp_path_factory):
    """The folder of the exported model."""
    folder = tmp_path_factory.mktemp("card") / "shared"
    model.export(folder, stablehlo=True)
    return folder


@pytest.fixture(scope="module")
def card(shared):
    return (shared / "README.md").read_text()


def blocks(card, language):
    """The code blocks of a card by the heading above them."""
    found = {}
    for section in card.split("\n## ")[1:]:
        for code in re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL):
            found[section.partition("\n")[0]] = code
    return found


def test_every_code_block_is_shell_or_python(card):
    languages = re.findall(r"^```(\w+)$", card, re.MULTILINE)
    assert len(languages) * 2 == card.count("```")
    assert len(languages) == len(blocks(card, "sh")) + len(blocks(card, "python"))


def test_every_python_block_runs(card, shared, monkeypatch, capsys):
    monkeypatch.chdir(shared)
    written = {}
    for heading, code in blocks(card, "python").items():
        exec(code.replace("FOLDER", str(shared)), {})
        written[heading] = capsys.readouterr().out
    verified, answer = written["Use"].split()
    assert verified in ("True", "False")
    assert len(answer) == 16
    probability, answer = written["Without cgar_jax"].split()
    assert 0 <= float(probability) <= 1
    assert len(answer) == 16
    assert written["How it was trained"] == ""


def test_every_shell_command_runs(card, shared, finished_run, cache, tmp_path):
    workdir = shutil.copytree(finished_run[0], tmp_path / "run")
    (tmp_path / "config.py").write_text(blocks(card, "python")["How it was trained"])
    lines = [line for code in blocks(card, "sh").values() for line in code.splitlines()]
    names = []
    for line in lines:
        line = line.replace("FOLDER", str(shared)).replace("config.py", f"{tmp_path}/config.py")
        cgar, name, *arguments = shlex.split(line)
        # The finished run is complete, so that training has nothing left to do.
        extra = [f"--workdir={workdir}"] if name == "train" else []
        code, output = commands.run(name, *arguments, *extra, cache=cache)
        assert cgar == "cgar"
        assert code in ((0, UNSOLVED) if name == "solve" else (0,)), output
        names.append(name)
    assert names == ["evaluate", "solve", "train"]


def test_the_config_in_the_card_is_the_config_of_the_run(card, finished_run):
    names = {}
    exec(blocks(card, "python")["How it was trained"], names)
    saved = json.loads((finished_run[0] / "config.json").read_text())
    saved.pop("task")
    assert json.loads(names["get_config"]().to_json_best_effort()) == saved


def test_the_card_has_the_results_and_the_front_matter_of_the_hub(card, finished_run):
    result = commands.result(finished_run[0])
    assert card.startswith("---\nlibrary_name: cgar_jax\nlicense: apache-2.0\ntags:\n- jax\n")
    assert f"| exact accuracy | {result['exact_accuracy']:.2%} (95% interval " in card
    assert f"| model FLOPs of training | {result['model_flops']:.3g} |" in card
    assert "| training | 40 steps in" in card
    assert "| device | 1 x cpu |" in card
    assert "| seed | 0 |" in card


def test_the_card_names_the_method_and_links_its_paper(card):
    assert "# TRM for sudoku, 16 cells, trained with CGAR\n" in card
    assert "\n- cgar\n" in card
    assert "https://arxiv.org/abs/2511.08653" in card
    assert "https://arxiv.org/abs/2510.04871" in card
    assert "pip install 'cgar_jax[train] @ git+https://" in card


def test_the_puzzle_in_the_card_is_a_real_one(card):
    (text,) = set(re.findall(r'"([1-4.]{16})"', card))
    rules = rules_of("sudoku")
    question = rules.parse_questions([text])
    assert rules.question_faults(question) == [""]
    assert rules.num_solutions(question[0]) == 1
    assert (question[0] != rules.blank).sum() == 6


@pytest.mark.parametrize("name", ["sudoku_mini", "sudoku_extreme", "maze_mini", "maze_hard"])
def test_every_family_with_rules_has_an_example_puzzle(name):
    config = load(CONFIGS[0].with_name(f"{name}.py")).get_config()
    num_cells = config.data.size**2
    rules, puzzle = rules_of(config.data.name), example_puzzle(config.data, num_cells)
    assert puzzle.shape == (num_cells,)
    assert rules.question_faults(puzzle[None]) == [""]
    assert len(np.unique(puzzle)) > 2
    np.testing.assert_array_equal(example_puzzle(config.data, num_cells), puzzle)


@pytest.mark.parametrize(
    ("method", "name", "description"),
    [
        ("cgar", "CGAR", "(PDC) and hierarchical supervision weighting (HSW)"),
        ("pdc", "PDC", "progressive depth curriculum (PDC), without HSW"),
        ("hsw", "HSW", "hierarchical supervision weighting (HSW), full depth throughout"),
        ("trm", "TRM", "full depth and equal weights"),
        ("nested", "nested_depth_curriculum", "curriculum `nested_depth_curriculum`"),
    ],
)
def test_the_method_follows_from_the_config(method, name, description):
    config = load(CONFIGS[0].with_name("sudoku_mini.py")).get_config(method)
    model = types.SimpleNamespace(experiment=types.SimpleNamespace(config=config))
    found_name, found_description = training_method(model)
    assert found_name == name
    assert description in found_description


def test_the_card_of_an_unfinished_run_says_so(model):
    earlier = trained_model.TrainedModel(model.experiment, model.params, step=20)
    card = model_card(earlier, None, has_program=False)
    assert "20 of 40 optimizer steps" in card
    assert "The run was not finished; nothing has been measured." in card
    assert "exact accuracy" not in card


def test_the_card_of_a_converted_model_claims_no_training_method(model):
    converted = trained_model.TrainedModel(model.experiment, model.params, origin="step_7")
    card = model_card(converted, None, has_program=False)
    assert "`step_7`" in card
    assert "license: unknown" in card
    assert "CGAR" not in card
    assert "2511.08653" not in card
