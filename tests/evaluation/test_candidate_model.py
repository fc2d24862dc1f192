"""A candidate model as a `TrainedModel`: what it can do, and clear errors for the rest."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

import cgar_jax
from cgar_jax import experiment
from cgar_jax.commands.solve import Printer
from cgar_jax.config import default_config, set_elimination, set_method
from cgar_jax.data import rules_of
from cgar_jax.evaluation import Proof
from cgar_jax.trained_model import TrainedModel
from cgar_jax.training.state import averaged

TASK = experiment.Task(vocab_size=6, sequence_length=16, num_puzzle_identifiers=1)
PUZZLE, SOLUTION = "123434122143432.", "1234341221434321"


@pytest.fixture(scope="module")
def model():
    config = default_config()
    config.data.size, config.data.num_clues = 4, 8
    set_elimination(config)
    config.model.hidden_size = config.model.inner_size_multiple = 4
    config.curriculum.stages = ((0, 1), (0, 1), (0, 1))
    config.batch_size = 8
    set_method(config, "trm")
    built = experiment.build(config, TASK)
    return TrainedModel(built, averaged(built.initial_state()))


def test_it_solves_puzzles_with_proof(model):
    (proof,) = model.solve(PUZZLE, budget=100)
    assert proof.verified
    assert model.rules.to_text(proof.answer) == SOLUTION


def test_what_needs_deep_supervision_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="this one eliminates candidates"):
        model.export(tmp_path / "exported", stablehlo=True)


def test_its_search_can_be_watched(model, tmp_path):
    found = model.animate(PUZZLE, tmp_path / "search.gif")
    assert model.rules.to_text(found.answer) == SOLUTION
    with Image.open(tmp_path / "search.gif") as gif:
        assert gif.n_frames == 1 + len(found.events)


def test_an_exported_model_is_the_same_model(model, tmp_path):
    model.export(tmp_path / "exported")
    back = cgar_jax.load(tmp_path / "exported")
    for ours, theirs in zip(
        jax.tree.leaves(back.params), jax.tree.leaves(model.params), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "# Relational network for sudoku, 16 cells" in card
    assert "loops per pass" in card


def test_a_model_solves_boards_of_another_size_with_the_same_parameters(model):
    question = ".23456456123214365365214531642642531"
    (proof,) = model.for_cells(36).solve(question, budget=100)
    assert model.rules.to_text(proof.answer) == "1" + question[1:]


def test_parameters_that_belong_to_one_board_fit_no_other(model):
    config = model.config.copy_and_resolve_references()
    config.model = {"name": "ldt", "hidden_size": 8, "num_heads": 2, "num_layers": 1}
    built = experiment.build(config, TASK)
    one_size = TrainedModel(built, averaged(built.initial_state()))
    with pytest.raises(ValueError, match="the puzzles have 36 cells; the model was trained on 16"):
        one_size.for_cells(36)


@pytest.mark.parametrize("solved", [True, False])
def test_a_line_of_json_has_the_answer_and_the_passes(model, solved, capsys):
    questions = model.read(PUZZLE)
    answer = rules_of("sudoku").parse_answers([SOLUTION])[0].astype(np.uint8)
    printer = Printer(questions, model.rules, show_attempt=False)
    printer.print_json(0, Proof(answer if solved else None, 7, 2))
    row = json.loads(capsys.readouterr().out)
    assert row["answer"] == (SOLUTION if solved else None)
    assert (row["question"], row["verified"], row["passes"]) == (PUZZLE, solved, 7)
    assert "supervision_steps" not in row


def test_a_proof_prints_its_passes(model, capsys):
    Printer(model.read(PUZZLE), model.rules, show_attempt=False).print_text(0, Proof(None, 1, 0))
    assert "not solved after 1 pass\n" in capsys.readouterr().out
