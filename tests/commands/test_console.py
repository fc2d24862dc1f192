"""Printing never decides whether a command lives, whatever happens to its streams."""

import os
import subprocess
import sys

import pytest

from tests import running as commands

# Prints far more than a pipe holds, and then leaves a trace.
PRINTING = """
import pathlib, sys
from cgar_jax.commands import console
console.protect()
{before}
for number in range(20_000):
    print("caf\\xe9 \\xb7", number)
    print("status", number, file=sys.stderr)
pathlib.Path(sys.argv[1]).write_text("finished")
"""


def print_much(folder, redirection, before="", **environment):
    """Runs the program in a shell with redirections; returns the process and its trace."""
    program, trace = folder / "program.py", folder / "trace"
    program.write_text(PRINTING.format(before=before))
    command = f'"{sys.executable}" "{program}" "{trace}" {redirection}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        env=os.environ | environment,
        cwd=commands.ROOT,
    )
    return done, trace.exists() and trace.read_text()


@pytest.mark.parametrize(
    "redirection",
    [
        ">/dev/full",
        "2>/dev/full",
        ">/dev/full 2>&1",
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        "| head -1",
        "2>&1 >/dev/null | head -1",
    ],
)
def test_a_stream_that_takes_no_output_does_not_end_a_command(tmp_path, redirection):
    done, trace = print_much(tmp_path, redirection)
    assert (done.returncode, trace) == (0, "finished")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_characters_that_an_encoding_lacks_become_plain_ones(tmp_path, unbuffered):
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": unbuffered}
    done, trace = print_much(tmp_path, "", **environment)
    assert trace == "finished"
    assert done.stdout.startswith(b"caf\\xe9 - 0\n")


def test_a_file_name_that_is_no_unicode_can_be_printed(tmp_path):
    done, _ = print_much(tmp_path, "", before="print('\\udcff')")
    assert done.stdout.startswith(b"\\udcff\n")


def test_a_closed_stdout_is_not_replaced_by_the_next_file_that_is_opened(tmp_path):
    other = tmp_path / "other"
    before = f"file = open({str(other)!r}, 'w'); import os; os.write(1, b'print')"
    print_much(tmp_path, ">&-", before)
    assert other.read_text() == ""


def test_output_that_is_lost_on_a_full_disk_is_reported(tmp_path):
    done, _ = print_much(tmp_path, ">/dev/full")
    assert done.stderr.endswith(b"warning: output was lost (No space left on device)\n")


def test_output_that_nobody_reads_is_not_reported(tmp_path):
    done, _ = print_much(tmp_path, "| head -1", before="sys.stderr = open('/dev/null', 'w')")
    assert (done.stdout, done.stderr) == (b"caf\xc3\xa9 \xc2\xb7 0\n", b"")


@pytest.mark.parametrize(
    "entry_point",
    ["-m cgar_jax --version", "-m cgar_jax runs --help", "launch/one_host.py --help"],
)
def test_every_entry_point_survives_a_full_disk_behind_its_output(entry_point):
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" {entry_point} >/dev/full'],
        capture_output=True,
        text=True,
        cwd=commands.ROOT,
    )
    assert done.returncode == 0
    assert done.stderr == "warning: output was lost (No space left on device)\n"
