"""Every notebook runs, shortened."""

import pathlib

import nbclient
import nbformat
import pytest

from tests import running as commands

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "colabs").glob("*.ipynb"))


def notebook(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_an_error(path, monkeypatch):
    monkeypatch.setenv("CGAR_NOTEBOOK_STEPS", "1")
    monkeypatch.setenv("XLA_FLAGS", commands.HASTY)  # and one device, as in most notebooks
    nbclient.NotebookClient(notebook(path), timeout=300, kernel_name="python3").execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs(path):
    assert any(cell.get("outputs") for cell in notebook(path).cells)
    assert path.stat().st_size < 300_000
