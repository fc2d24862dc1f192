"""What the commands share: where a run lies, and how an error is told to its user."""

import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_collections
from absl import app, flags

from cgar_jax.command_line import parse_flags
from cgar_jax.data import Dataset
from cgar_jax.experiment import Experiment, Task
from cgar_jax.training import processes
from cgar_jax.training.loop import Interrupted, NonFiniteError
from cgar_jax.training.state import TrainState


def settings(config: ml_collections.ConfigDict, task: Task) -> dict[str, Any]:
    """What `config.json` and the checkpoints hold: the config, and the task its data posed."""
    return json.loads(config.to_json_best_effort()) | {"task": dataclasses.asdict(task)}


def read_settings(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, Task]:
    """The config and task of a run.

    Raises:
      FileNotFoundError: there is no run in `workdir`.
    """
    path = workdir / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"no run in {workdir}: {path} is not there")
    saved = json.loads(path.read_text())
    return ml_collections.ConfigDict(saved), Task(**saved.pop("task"))


def check_workdir(workdir: str | os.PathLike) -> pathlib.Path:
    """Makes the folder and writes into it, so that a run does not find out at its first checkpoint.

    Returns:
      Its path.

    Raises:
      ValueError: it is an address and not a folder.
      OSError: it cannot be made or written to; the message names it.
    """
    if "://" in str(workdir):
        raise ValueError(
            f"workdir {workdir} is not a folder; mount the bucket (gcsfuse, s3fs) and name the "
            "folder that it is mounted at"
        )
    workdir = pathlib.Path(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise OSError(f"cannot write to workdir {workdir}: {error.strerror}") from error
    return workdir


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a file that is either the old one or the whole new one, whenever the process dies.

    Of several processes only the first one writes.
    """
    if not processes.is_first():
        return
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(fresh, path)


def score(
    pieces: Experiment, state: TrainState, dataset: Dataset, workdir: pathlib.Path
) -> dict[str, Any]:
    """The figures of the test split; a submission, where there is one, goes into the workdir."""
    scores, submission = pieces.score(state, dataset)
    if submission:
        write_json(workdir / "submission.json", submission)
    return scores


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
    work: Callable[[flags.FlagValues], int | None],
    required: Sequence[str],
) -> None:
    """A command from its command line to its exit code.

    Args:
      define_flags: called before the command line is read, so that importing the module of a
        command defines no flags.
      work: as for `run`, given the flags.
      required: names of the flags that must be there.
    """

    def parsed(argv: Sequence[str]) -> None:
        if unexpected := list(argv[1:]):
            raise app.UsageError(f"unexpected arguments {unexpected}; use --NAME=VALUE")
        run(lambda: work(flags.FLAGS))

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
    others = set(threading.enumerate()) - {threading.main_thread()}
    if not all(thread.daemon for thread in others):
        # Threads of a checkpoint that could not be written wait for minutes, and for nothing.
        jax.distributed.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        sys.exit(code)
