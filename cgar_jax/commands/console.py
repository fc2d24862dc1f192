"""Keeps printing from ending a command: stdout and stderr become streams that never raise.

A reader that leaves (`| head`), a full disk behind a redirection, a closed stream (`>&-`) or an
encoding without some characters degrades the output of a command, but the command goes on. Every
entry point calls `protect`; printing code needs no care of its own.
"""

import atexit
import codecs
import contextlib
import errno
import io
import os
import select
import sys
from typing import Any

# Plain characters for those of our own output; other characters become escapes such as \xe9.
_PLAIN = str.maketrans({"·": "-", "×": "x", "–": "-", "—": "-", "…": "...", "’": "'"})
_PLAIN_ERRORS = "cgar_plain"
# A non-blocking terminal or pipe gets this long to accept more output.
_PATIENCE_SECONDS = 5.0


def protect() -> None:
    """Makes stdout and stderr of this process safe to print to; repeated calls have no effect.

    Streams that are no files, such as those of notebooks and tests, stay as they are.
    """
    codecs.register_error(_PLAIN_ERRORS, _encode_plainly)
    _open_closed_descriptors()
    atexit.unregister(_report_lost_output)
    atexit.register(_report_lost_output)
    sys.stdout, sys.stderr = _protected(sys.stdout, 1), _protected(sys.stderr, 2)


def output_fault() -> OSError | None:
    """Returns the first error of writing to stdout, or None if all output has been written."""
    with contextlib.suppress(ValueError):  # the stream is closed
        sys.stdout.flush()
    raw = _raw(sys.stdout)
    return raw.fault if isinstance(raw, _SafeFile) else None


def reader_has_left() -> bool:
    """Returns whether stdout is a pipe whose reader has ended, as after `| head`."""
    fault = output_fault()
    return fault is not None and fault.errno == errno.EPIPE


def _report_lost_output() -> None:
    fault = output_fault()
    if fault is not None and fault.errno != errno.EPIPE:
        print(f"warning: output was lost ({fault.strerror})", file=sys.stderr)


class _SafeFile(io.RawIOBase):
    """An open file whose writes never fail; what cannot be written is dropped.

    Attributes:
      fault: the first error, or None.
    """

    def __init__(self, file: io.RawIOBase, owner: Any):
        self._file, self.fault = file, None
        self._owner = owner  # without a reference, the stream would close the file
        self.name, self.mode = getattr(file, "name", ""), getattr(file, "mode", "wb")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        try:
            return self._file.isatty()
        except (OSError, ValueError):
            return False

    def write(self, data: Any) -> int:
        try:
            written = self._file.write(data)
            if written is None:  # a non-blocking file is full
                select.select([], [self._file], [], _PATIENCE_SECONDS)
                written = self._file.write(data)
        except (OSError, ValueError) as error:
            written, self.fault = None, self.fault or _as_os_error(error)
        return len(data) if written is None else written


def _protected(stream: Any, descriptor: int) -> Any:
    """Returns a stream that prints to the same file and never raises."""
    if stream is None:  # Python found the descriptor closed
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    raw = _raw(stream)
    if isinstance(raw, _SafeFile) or not isinstance(raw, io.FileIO):
        return stream
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_SafeFile(raw, stream)),
        encoding=stream.encoding,
        errors=_PLAIN_ERRORS,
        line_buffering=stream.line_buffering or descriptor == 2,
        write_through=stream.write_through,
    )


def _raw(stream: Any) -> Any:
    """Returns the file below the layers of a text stream; None if there is none."""
    if not isinstance(stream, io.TextIOWrapper):
        return None
    return getattr(stream.buffer, "raw", stream.buffer)  # `python -u` has one layer less


def _open_closed_descriptors() -> None:
    """Opens closed standard descriptors, which the next opened files would occupy otherwise."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest closed descriptor
            os.set_inheritable(opened, True)


def _encode_plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces what an encoding lacks; a handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


def _as_os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
