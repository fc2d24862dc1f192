"""Animations of trajectories that are known beforehand, read back from the GIF."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from cgar_jax.data import arc, maze, sudoku
from cgar_jax.recursion import Trajectory
from cgar_jax.reporting import boards
from cgar_jax.reporting.animation import animate

QUESTION, SOLUTION = "1.3.34122.4.4321", "1234341221434321"


def trajectory_of(question, *answers):
    """A trajectory with these answers, each with a higher confidence than the one before."""
    answers = np.array(answers, np.int32)
    rising = np.linspace(0.2, 1, len(answers), dtype=np.float32)
    confidences = np.repeat(rising[:, None], answers.shape[1], axis=1)
    return Trajectory(np.asarray(question, np.int32), answers, confidences, rising, num_cycles=1)


def frames(path):
    """The frames of a GIF, int `[height, width, 3]` each."""
    with Image.open(path) as gif:
        every = ImageSequence.Iterator(gif)
        return [np.asarray(frame.convert("RGB")).astype(int) for frame in every]


def count_pixels(color, frame):
    """The number of pixels with almost this color."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(frame - rgb).max(-1) <= 6).sum())


@pytest.fixture(scope="module")
def sudoku_frames(tmp_path_factory):
    """Frames of a 4x4 Sudoku: the question, an answer with one wrong cell, the right answer."""
    path = tmp_path_factory.mktemp("sudoku") / "solving.gif"
    question, solution = sudoku.encode(QUESTION), sudoku.encode(SOLUTION)
    wrong = solution.copy()
    wrong[1] = solution[0]
    animate(trajectory_of(question, wrong, solution), "sudoku", path, solution)
    return frames(path)


def test_there_is_a_frame_for_the_question_and_one_for_each_reading(sudoku_frames):
    assert len(sudoku_frames) == 3


def test_clues_keep_their_color_while_other_cells_change(sudoku_frames):
    question, wrong, solved = (frame[40:340, 20:300] for frame in sudoku_frames)
    clues = [count_pixels(boards.CLUE, frame) for frame in (question, wrong, solved)]
    assert min(clues) > 1000
    assert max(clues) - min(clues) < 0.02 * max(clues)
    assert count_pixels("#FFFFFF", question) - count_pixels("#FFFFFF", solved) > 1000


def test_only_errors_are_marked(sudoku_frames):
    marked = [count_pixels(boards.WRONG, frame) for frame in sudoku_frames]
    assert marked[0] == marked[2] == 0 < 100 < marked[1]


def test_errors_in_mazes_and_arc_puzzles_are_marked(tmp_path):
    walls = maze.encode("#####S G#  #####")
    path = np.where(np.arange(16) == 6, 5, walls)
    animate(trajectory_of(walls, walls, path), "maze", tmp_path / "maze.gif", path)
    grid = arc.encode(np.array([[1, 2], [3, 4]]), 4)
    nothing = np.zeros(16, np.uint8)
    animate(trajectory_of(grid, nothing, grid), "arc", tmp_path / "arc.gif", grid)
    for name in ("maze", "arc"):
        _, first, last = frames(tmp_path / f"{name}.gif")
        assert count_pixels(boards.WRONG, first) > 50, name
        assert count_pixels(boards.WRONG, last) == 0, name


def test_an_unknown_family_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="sudoko"):
        animate(trajectory_of([1], [1]), "sudoko", tmp_path / "a.gif")
