"""Files of puzzles: compressed, encoded and damaged."""

import bz2
import gzip
import io
import lzma
import pathlib
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from cgar_jax.data import read_questions, rules_of
from cgar_jax.data.csv_files import read_csv
from tests.test_extras import without

RULES = rules_of("sudoku")
QUESTION, ANSWER = ".234341221434321", "1234341221434321"
TEXT = f"puzzle,solution\n{QUESTION},{ANSWER}\n".encode()


def zipped(content, *others):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("puzzles.csv", *others):
            archive.writestr(name, content)
    return file.getvalue()


def zstandard(content):
    return pyarrow.compress(content, "zstd", asbytes=True)


def parquet(**columns):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


CONTENTS = {
    "plain": TEXT,
    "Windows lines": TEXT.replace(b"\n", b"\r\n"),
    "a byte-order mark": b"\xef\xbb\xbf" + TEXT,
    "UTF-16": TEXT.decode().encode("utf-16"),
    "gzip": gzip.compress(TEXT),
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "Zstandard": zstandard(TEXT),
    "ZIP": zipped(TEXT),
    "Parquet": parquet(id=[7], puzzle=[QUESTION], solution=[ANSWER]),
    "Parquet of lists": parquet(
        question=[[0, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1]], answer=[ANSWER]
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_puzzles_with_answers_are_read_from(tmp_path, kind):
    file = tmp_path / "puzzles"
    file.write_bytes(CONTENTS[kind])
    puzzles = read_csv(file, RULES)
    assert [RULES.to_text(puzzles[name][0]) for name in ("inputs", "labels")] == [QUESTION, ANSWER]
    assert puzzles["difficulty"].tolist() == [0]


@pytest.mark.parametrize("kind", CONTENTS)
def test_questions_are_read_from(tmp_path, kind):
    file = tmp_path / "puzzles"
    file.write_bytes(CONTENTS[kind])
    (tokens,) = read_questions(file, RULES, 16).tokens
    assert RULES.to_text(tokens) == QUESTION


UNREADABLE = {
    "cut gzip": (gzip.compress(TEXT)[:-9], "is a damaged gzip file"),
    "gzip with a wrong checksum": (
        gzip.compress(TEXT)[:-8] + b"checksum",
        "is a damaged gzip file",
    ),
    "cut bzip2": (bz2.compress(TEXT)[:-9], "is a damaged bzip2 file"),
    "cut xz": (lzma.compress(TEXT)[:-9], "is a damaged xz file"),
    "damaged Zstandard": (zstandard(TEXT)[:9] + b"damaged", "is a damaged Zstandard file"),
    "cut ZIP": (zipped(TEXT)[:-9], "is a damaged ZIP file"),
    "cut Parquet": (parquet(puzzle=[QUESTION])[:-9], "is a damaged Parquet file"),
    "ZIP of two files": (
        zipped(TEXT, "more.csv"),
        "is a ZIP archive of 2 files (puzzles.csv, more.csv)",
    ),
    "another column": (parquet(board=[QUESTION]), "the columns are 'board'; expected"),
    "program": (b"\x7fELF\2\1\1\0\0\0", "is a binary file; expected text in UTF-8"),
    "Latin-1": (TEXT + b"\xe9", "near line 3: "),
    "nothing": (b"", "has no puzzle"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cannot_be_read_is_a_short_error_with_its_name(tmp_path, kind):
    content, message = UNREADABLE[kind]
    file = tmp_path / "puzzles"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^it") as caught:
        read_questions(file, RULES, 16, "it")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file of puzzles"):
        read_csv(tmp_path, RULES)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "puzzles.csv").write_bytes(TEXT)
    assert len(read_csv("~/puzzles.csv", RULES)["inputs"]) == 1
    assert len(read_questions(pathlib.Path("~/puzzles.csv"), RULES, 16).tokens) == 1


def test_the_rows_of_a_large_parquet_file_are_numbered(tmp_path):
    file = tmp_path / "puzzles.parquet"
    questions = [QUESTION] * 9_000
    questions[8_765] = QUESTION[1:]
    file.write_bytes(parquet(question=questions, answer=[ANSWER] * 9_000))
    with pytest.raises(ValueError, match="line 8766: the question has 15 characters"):
        read_csv(file, RULES)


@pytest.mark.parametrize("kind", ["Zstandard", "Parquet"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path, kind):
    file = tmp_path / "puzzles"
    file.write_bytes(CONTENTS[kind])
    done = without(
        ["pyarrow"], f"from cgar_jax import data; data.read_examples({str(file)!r}, 'sudoku')"
    )
    assert "MissingExtraError: the package pyarrow is not installed" in done.stderr
    assert "pip install 'cgar_jax[train]'" in done.stderr
