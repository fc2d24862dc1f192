"""Fixtures that several tests of data sets share."""

import pytest

from tests.data.arc_puzzles import puzzle, write_set


@pytest.fixture
def folder(tmp_path):
    """A folder with an ARC training set of four puzzles and an evaluation set of three."""
    write_set(tmp_path, "training", [puzzle(n, f"train{n}") for n in range(4)])
    write_set(tmp_path, "evaluation", [puzzle(9 + n, f"eval{n}") for n in range(3)])
    return tmp_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of data sets."""
    monkeypatch.setenv("CGAR_DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"
