"""What several tests of ARC share."""

import pytest

from tests.data.arc_puzzles import puzzle, write_set


@pytest.fixture
def folder(tmp_path):
    write_set(tmp_path, "training", [puzzle(n, f"train{n}") for n in range(4)])
    write_set(tmp_path, "evaluation", [puzzle(9 + n, f"eval{n}") for n in range(3)])
    return tmp_path
