"""Runs a command that uses JAX, and turns its errors into messages and exit codes."""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

import jax
from absl import flags

from cgar_jax._core import extras
from cgar_jax.commands import command_line, usage
from cgar_jax.training import processes
from cgar_jax.training.loop import NonFiniteError
from cgar_jax.training.stopping import Interrupted

PROCESS_FLAGS = ("coordinator_address", "num_processes", "process_id")


def define_process_flags() -> None:
    """Defines the flags that `connect` reads."""
    flags.DEFINE_string(
        "coordinator_address", None, "HOST:PORT of process 0, if the cluster does not provide it"
    )
    flags.DEFINE_integer("num_processes", None, "number of processes; 1 looks for no others")
    flags.DEFINE_integer("process_id", None, "index of this process, from 0")


def connect(values: flags.FlagValues) -> None:
    """Connects the processes of a run, using the flags or the cluster's own announcement.

    Raises:
      ValueError, OSError: see `cgar_jax.training.processes.connect`.
    """
    processes.connect(values.coordinator_address, values.num_processes, values.process_id)


def main(
    define_flags: Callable[[], None],
    work: Callable[..., int | None],
    required: Sequence[str],
    takes_arguments: bool = False,
) -> None:
    """Runs a script with the command line and the exit codes of a command.

    Args:
      define_flags: defines the script's flags.
      work: does the work, given the parsed flags, and the other arguments if it takes any.
      required: names of the flags that must be given. If "config" is one of them, the config may be
        the argument of the script.
      takes_arguments: whether arguments other than flags are allowed.
    """

    def call(values, arguments):
        return work(values, *([arguments] if takes_arguments else []))

    interface = usage.Interface(
        f"python {sys.argv[0]}",
        call,
        define_flags,
        description=(sys.modules["__main__"].__doc__ or "").strip(),
        arguments="CONFIG" if "config" in required else "ARGUMENT..." if takes_arguments else "",
        required=required,
    )
    values, arguments = command_line.parse_command(interface, sys.argv[1:])
    run(lambda: interface.main(values, arguments))


def run(function: Callable[[], int | None]) -> None:
    """Calls a function; an error that its user can correct becomes one message and an exit code.

    Exit codes: the result of the function (None is 0), 2 for bad input, 3 if training diverged, 75
    if other processes of the run were lost (start all of them again), 128 + n if signal n stopped
    the run. If the environment variable `CGAR_TRACEBACK` is set, errors keep their traceback; the
    message of an error that was not written for the user points to it.
    """
    if os.environ.get("CGAR_TRACEBACK"):
        sys.exit(function())
    try:
        with extras.explain_missing():
            code = function() or 0
        _end(code)
    except Interrupted as stop:
        _end(128 + stop.signal, str(stop))
    except KeyboardInterrupt:
        _end(130, "stopped by SIGINT; the same command continues from the last checkpoint")
    except NonFiniteError as error:
        _end(3, f"error: {error}")
    except (ValueError, OSError, extras.MissingExtraError) as error:
        hint = "" if _is_deliberate(error) else "\n(set CGAR_TRACEBACK=1 to see the traceback)"
        _end(2, f"error: {error}{hint}")
    except jax.errors.JaxRuntimeError as error:
        if not processes.several() or "RESOURCE_EXHAUSTED" in str(error):
            raise
        message = str(error).splitlines()[0][:300]
        print(
            f"error: process {jax.process_index()} of {jax.process_count()} lost the others, one "
            "of which has probably died; start all of them again to resume from the last "
            f"checkpoint ({message})",
            file=sys.stderr,
            flush=True,
        )
        os._exit(os.EX_TEMPFAIL)  # an orderly exit would wait for the other processes


def _is_deliberate(error: Exception) -> bool:
    """Whether a message was written for the user, who needs no traceback then.

    That holds for errors that code of this project raises, and for errors of the operating system.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = frames[-1].f_globals.get("__name__", "") if frames else ""
    ours = ("cgar_jax", "configs", "benchmarks", "launch", "__main__")
    return isinstance(error, OSError | extras.MissingExtraError) or raised_in.startswith(ours)


def _end(code: int, message: str = "") -> None:
    """Ends the process, with a message on stderr."""
    if message:
        print(message, file=sys.stderr)
    processes.disconnect()
    others = set(threading.enumerate()) - {threading.main_thread()}
    if not all(thread.daemon for thread in others):
        # The threads of a checkpoint that could not be written would keep the process for minutes.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        sys.exit(code)
