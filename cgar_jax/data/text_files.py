"""Opens text files as people have them: plain or compressed, in UTF-8 or UTF-16.

The first bytes of a file decide what it is, not its name. What the text means is up to
`puzzle_text`.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from cgar_jax._core.extras import explain_missing

PARQUET = b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextlib.contextmanager
def opened(path: str | os.PathLike, expected: str) -> Iterator[BinaryIO]:
    """Opens a file, which may be a named pipe; `~` is the home folder.

    Args:
      path: path of the file.
      expected: description of the file, for error messages.

    Raises:
      FileNotFoundError: if there is no such file.
      IsADirectoryError: if it is a folder.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected {expected}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; expected {expected}")
    with path.open("rb") as file:
        yield file


def begins_with(file: BinaryIO, start: bytes) -> bool:
    """Returns whether the next bytes of a file are `start`, without reading on."""
    return _peek(file)[: len(start)] == start


def read_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Yields the lines of a text file with their ends.

    Args:
      file: an open file; it may be compressed with gzip, bzip2, xz or Zstandard, or be a ZIP
        archive of one file.
      name: name of the file in error messages.

    Raises:
      ValueError: if the file is damaged, or is not text in UTF-8 or UTF-16.
    """
    kind, number = "", 0
    try:
        while found := next((each for each in _OPENERS if begins_with(file, each)), None):
            kind, opener = _OPENERS[found]
            file = opener(file, name)
        head = _peek(file)
        encoding = "utf-16" if head.startswith(_UTF_16) else "utf-8-sig"
        if encoding != "utf-16" and b"\0" in head:
            raise ValueError(f"{name} is a binary file; expected text in UTF-8")
        with io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            for number, line in enumerate(text, 1):  # noqa: B007
                yield line
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, near line {number + 1}: {error}; expected text in UTF-8"
        ) from error
    except _DAMAGED as error:
        what = f"is a damaged {kind} file" if kind else "cannot be read"
        raise ValueError(f"{name} {what} ({error})") from error


def read_text(path: str | os.PathLike, expected: str) -> str:
    """Returns the text of a file.

    Args:
      path: path of the file.
      expected: description of the file, for error messages.

    Raises:
      FileNotFoundError, IsADirectoryError: see `opened`.
      ValueError: see `read_lines`.
    """
    with opened(path, expected) as file:
        return "".join(read_lines(file, str(path)))


def _peek(file: Any) -> bytes:
    return file.peek(1024)[:1024]


def _unzip(file: BinaryIO, name: str) -> Any:
    archive = zipfile.ZipFile(io.BytesIO(file.read()))
    members = [each for each in archive.namelist() if not each.endswith("/")]
    if len(members) != 1:
        listed = ", ".join(members[:3]) or "none"
        raise ValueError(
            f"{name} is a ZIP archive of {len(members)} files ({listed}); expected one"
        )
    return archive.open(members[0])


def _open_zstd(file: BinaryIO, name: str) -> Any:
    del name
    with explain_missing():
        import pyarrow  # optional, and slow to import
    return io.BufferedReader(pyarrow.CompressedInputStream(file, "zstd"))


# By the first bytes of a file: the name of the format, and the function that decompresses it.
_OPENERS: dict[bytes, tuple[str, Callable[[BinaryIO, str], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file, name: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", lambda file, name: bz2.BZ2File(file)),
    b"\xfd7zXZ\0": ("xz", lambda file, name: lzma.LZMAFile(file)),  # noqa: SIM115
    b"\x28\xb5\x2f\xfd": ("Zstandard", _open_zstd),
    b"PK\x03\x04": ("ZIP", _unzip),
}
