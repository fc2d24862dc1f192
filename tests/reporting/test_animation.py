"""Traces of a model's thinking, and animations of traces that are known beforehand."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from cgar_jax.data import arc, maze, sudoku
from cgar_jax.recursion import Trajectory
from cgar_jax.reporting import animation
from cgar_jax.training.state import averaged
from tests.training import problem

SUDOKU = "1.3.34122.4.4321", "1234341221434321"


def known_trace(question, *answers, num_cycles=1):
    """A trace of these answers, surer with each."""
    answers = np.array(answers, np.int32)
    sure = np.linspace(0.2, 1, len(answers), dtype=np.float32)
    confidences = np.repeat(sure[:, None], answers.shape[1], axis=1)
    return Trajectory(np.asarray(question, np.int32), answers, confidences, sure, num_cycles)


def frames(path):
    """The frames of a GIF, int `[height, width, 3]` each."""
    with Image.open(path) as gif:
        every = ImageSequence.Iterator(gif)
        return [np.asarray(frame.convert("RGB")).astype(int) for frame in every]


@pytest.fixture(scope="module")
def sudoku_frames(tmp_path_factory):
    """Frames of a 4x4 Sudoku: the question, an answer of which one cell is wrong, the right one."""
    path = tmp_path_factory.mktemp("sudoku") / "solving.gif"
    question, solution = map(sudoku.encode, SUDOKU)
    wrong = solution.copy()
    wrong[1] = solution[0]
    trace = known_trace(question, wrong, solution)
    animation.animate(trace, "sudoku", path, solution)
    return frames(path)


def test_there_is_a_frame_for_the_question_and_one_for_each_reading(sudoku_frames):
    assert len(sudoku_frames) == 3


def near(colour, frame):
    """How many pixels have about this colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(frame - rgb).max(-1) <= 6).sum())


def test_clues_keep_their_colour_while_the_others_change(sudoku_frames):
    question, wrong, solved = (frame[40:340, 20:300] for frame in sudoku_frames)
    clues = [near(animation.CLUE, frame) for frame in (question, wrong, solved)]
    assert min(clues) > 1000
    assert max(clues) - min(clues) < 0.02 * max(clues)
    assert near("#FFFFFF", question) - near("#FFFFFF", solved) > 1000


def test_errors_are_marked_and_nothing_else_is(sudoku_frames):
    marked = [near(animation.WRONG, frame) for frame in sudoku_frames]
    assert marked[0] == marked[2] == 0 < 100 < marked[1]


def test_mazes_and_arc_are_drawn(tmp_path):
    walls = maze.encode("#####S G#  #####")
    way = np.where(np.arange(16) == 6, 5, walls)
    animation.animate(known_trace(walls, walls, way), "maze", tmp_path / "maze.gif", way)
    grid = arc.encode(np.array([[1, 2], [3, 4]]), 4)
    none = np.zeros(16, np.uint8)
    animation.animate(known_trace(grid, none, grid), "arc", tmp_path / "arc.gif", grid)
    for name in ("maze", "arc"):
        _, first, last = frames(tmp_path / f"{name}.gif")
        assert near(animation.WRONG, first) > 50, name
        assert near(animation.WRONG, last) == 0, name


def test_an_unknown_family_is_refused(tmp_path):
    with pytest.raises(ValueError, match="sudoko"):
        animation.animate(known_trace([1], [1]), "sudoko", tmp_path / "a.gif")


@pytest.mark.parametrize(("last_change", "kept"), [(0, 2), (1, 2), (2, 4), (3, 4), (5, 6)])
def test_a_trace_ends_with_the_step_of_its_last_change(last_change, kept):
    answers = [[0] if reading < last_change else [1] for reading in range(6)]
    trace = known_trace([0], *answers, num_cycles=2)
    trace = trace._replace(halting_probabilities=np.ones(6))
    assert len(trace.until_settled().answers) == kept


def test_a_trace_read_at_the_end_of_its_steps_is_what_the_evaluator_predicts():
    pieces, _, state = problem.build()
    examples = {name: column[:1] for name, column in problem.examples().items()}
    weights = averaged(state)
    (predictions,) = pieces.evaluator.predict(weights, examples)
    identifier = int(examples["puzzle_identifiers"][0])
    trace = pieces.reasoner.trajectory(weights, examples["inputs"][0], identifier)
    assert len(trace.answers) == 3 * trace.num_cycles
    np.testing.assert_array_equal(trace.answers[-1], predictions.answers[0])
    np.testing.assert_allclose(
        trace.halting_probabilities[-1], predictions.halting_probabilities[0], rtol=1e-4
    )
    assert ((trace.confidences > 1 / problem.VOCABULARY) & (trace.confidences <= 1)).all()
