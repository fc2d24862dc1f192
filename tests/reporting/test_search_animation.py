"""Animations of a search that is known beforehand, read back from the GIF."""

import numpy as np
import pytest

from cgar_jax.data import sudoku
from cgar_jax.evaluation import SearchEvent, SearchTrajectory
from cgar_jax.reporting import boards
from cgar_jax.reporting.search_animation import animate_search
from tests.reporting.test_animation import QUESTION, SOLUTION, count_pixels, frames


def candidates(text):
    """Candidates of a 4x4 Sudoku, bool `[16, 4]`: a digit, or all digits for a dot."""
    digits = np.arange(1, 5).astype(str)
    return np.array([(digits == symbol) | (symbol == ".") for symbol in text])


@pytest.fixture(scope="module")
def search_frames(tmp_path_factory):
    """Frames of the question, a wrong guess, its contradiction, and the solution."""
    question, solution = candidates(QUESTION), candidates(SOLUTION)
    pinned, empty = question.copy(), question.copy()
    pinned[1], empty[1] = np.arange(4) == 2, False
    in_cell_1, nowhere = np.arange(16) == 1, np.zeros(16, bool)
    trajectory = SearchTrajectory(
        question=sudoku.encode(QUESTION),
        before=np.stack([question, pinned, question]),
        after=np.stack([pinned, empty, solution]),
        guessed=np.stack([in_cell_1, in_cell_1, nowhere]),
        events=(SearchEvent.GUESS, SearchEvent.DEAD_END, SearchEvent.SOLVED),
        answer=sudoku.encode(SOLUTION),
    )
    path = tmp_path_factory.mktemp("search") / "search.gif"
    animate_search(trajectory, path)
    return frames(path)


def test_a_search_has_a_frame_for_the_question_and_one_for_each_pass(search_frames):
    assert len(search_frames) == 4


def test_only_the_frames_with_a_guess_have_an_orange_cell(search_frames):
    question, guess, contradiction, solved = (
        count_pixels(boards.GUESS, frame[:430]) for frame in search_frames
    )
    assert question == solved == 0
    assert min(guess, contradiction) > 1000


def test_only_a_contradiction_has_a_red_frame(search_frames):
    red = [count_pixels(boards.WRONG, frame[60:430, :20]) for frame in search_frames]
    assert red[0] == red[1] == red[3] == 0 < 500 < red[2]


def test_candidates_that_a_pass_removes_from_an_open_cell_are_pale(search_frames):
    pale = [count_pixels(boards.REMOVED, frame[:430]) for frame in search_frames]
    assert pale[0] == pale[1] == 0 < 50 < pale[2]


def test_found_digits_have_their_own_color(search_frames):
    found = [count_pixels(boards.FOUND, frame[:430]) for frame in search_frames]
    assert found[0] == 0 < 100 < found[3]
