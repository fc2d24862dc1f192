"""What the commands share: from a command line to an exit code."""

import os
import sys
import threading
from collections.abc import Callable, Sequence

import jax
from absl import app, flags

from cgar_jax.commands.command_line import parse_flags
from cgar_jax.training import processes
from cgar_jax.training.loop import Interrupted, NonFiniteError


def define_process_flags() -> None:
    """Defines the flags of `connect`."""
    flags.DEFINE_string(
        "coordinator_address", None, "HOST:PORT of process 0, where a cluster does not tell."
    )
    flags.DEFINE_integer("num_processes", None, "Of the run; 1 looks for no others.")
    flags.DEFINE_integer("process_id", None, "Of this process, from 0.")


def connect(values: flags.FlagValues) -> None:
    """Connects the processes of a run, as the command line says or the cluster tells.

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
    """A command from its command line to its exit code.

    Args:
      define_flags: called before the command line is read, so that importing the module of a
        command defines no flags.
      work: as for `run`, given the flags, and the other arguments if it takes any.
      required: names of the flags that must be there.
      takes_arguments: whether others than flags are allowed.
    """

    def parsed(argv: Sequence[str]) -> None:
        arguments = list(argv[1:])
        if arguments and not takes_arguments:
            raise app.UsageError(f"unexpected arguments {arguments}; use --NAME=VALUE")
        run(lambda: work(flags.FLAGS, *([arguments] if takes_arguments else [])))

    define_flags()
    flags.mark_flags_as_required(required)
    app.run(parsed, flags_parser=parse_flags)


def run(function: Callable[[], int | None]) -> None:
    """Calls `function`; an error that its user can mend becomes one message and a non-zero exit.

    Exit codes: what the function returns (None is 0), 2 bad input, 3 the training diverged, 75 the
    other processes are lost and all can be started again, 128 + n stopped by signal n. With
    `CGAR_TRACEBACK` set, errors keep their traceback.
    """
    if os.environ.get("CGAR_TRACEBACK"):
        sys.exit(function())
    try:
        _end(function() or 0)
    except Interrupted as stop:
        _end(128 + stop.signal, str(stop))
    except KeyboardInterrupt:
        _end(130, "stopped by SIGINT; the same command goes on from the last checkpoint")
    except NonFiniteError as error:
        _end(3, f"error: {error}")
    except (ValueError, OSError) as error:
        _end(2, f"error: {error}\n(CGAR_TRACEBACK=1 shows where)")
    except jax.errors.JaxRuntimeError as error:
        if not processes.several() or "RESOURCE_EXHAUSTED" in str(error):
            raise
        print(
            f"error: process {jax.process_index()} of {jax.process_count()} lost the others, of "
            "which one has probably died; start all of them again, they go on from the last "
            f"checkpoint ({str(error).splitlines()[0][:300]})",
            file=sys.stderr,
            flush=True,
        )
        os._exit(os.EX_TEMPFAIL)  # an orderly end would wait for the others


def _end(code: int, message: str = "") -> None:
    """Ends the process, with a message on stderr."""
    if message:
        print(message, file=sys.stderr)
    processes.disconnect()
    others = set(threading.enumerate()) - {threading.main_thread()}
    if not all(thread.daemon for thread in others):
        # Threads of a checkpoint that could not be written wait for minutes, and for nothing.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        sys.exit(code)
