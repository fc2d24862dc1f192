"""Runs the commands in processes of their own, on a config that trains for seconds."""

import importlib.util
import json
import multiprocessing
import os
import pathlib
import socket
import tempfile
import time
import types
from collections.abc import Callable
from typing import Any

from cgar_jax.commands import cli

ROOT = pathlib.Path(__file__).parent.parent
# Fast compilation of slower programs.
HASTY = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
    ]
)
# A process that is forked from one in which everything is imported starts at once.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "cgar_jax.data.builder",
        "cgar_jax.commands.train",
        "cgar_jax.commands.evaluate",
        "cgar_jax.commands.convert",
        "cgar_jax.commands.estimate",
        "cgar_jax.commands.export",
        "cgar_jax.commands.report",
        "tensorboardX",
        "tests.faulty_runs",
    ]
)
TINY_DATA = [
    "--config.data.size=4",
    "--config.data.num_clues=6",
    "--config.data.num_train=30",
    "--config.data.num_validation=10",
    "--config.data.num_test=20",
    "--config.batch_size=8",
]
TINY = [
    "--config=configs/sudoku_mini.py",
    *TINY_DATA,
    "--config.model.num_layers=1",
    "--config.model.hidden_size=16",
    "--config.model.inner_size_multiple=16",
    "--config.curriculum.stages=((1, 1), (2, 2))",
    "--config.curriculum.boundaries=(0.5,)",
    "--config.supervision.max_supervision_steps=2",
    "--config.weighting=(('hierarchical_supervision_weighting', {'num_steps': 2}),)",
    "--config.optimizer.warmup_steps=0",
    "--config.training.steps=40",
    "--config.training.steps_per_dispatch=3",
    "--config.checkpoint.every_steps=10",
    "--config.evaluation.every_steps=20",
]
# A single depth, so that there is less to compile.
TINY_AND_SHALLOW = [
    *(flag for flag in TINY if "curriculum" not in flag),
    "--config.curriculum.stages=((1, 1),)",
    "--config.curriculum.boundaries=()",
]


def load(path: pathlib.Path) -> types.ModuleType:
    """Imports a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Forked:
    """A process that starts with everything imported; its output is appended to a file."""

    def __init__(self, log: pathlib.Path, function: Callable, *arguments: Any):
        """Calls `function` with arguments that can be pickled; its output goes to `log`."""
        self._log = log
        self._process = FORKED.Process(target=_call, args=(log, function, arguments), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """Returns the exit code if the process has ended."""
        return self._process.exitcode

    def signal(self, number: int) -> None:
        """Sends a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """Waits for the end of the process and returns the exit code."""
        self._process.join(timeout=seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"the process does not end: {self.output()}")
        return self._process.exitcode

    def output(self) -> str:
        """Returns what the file contains now."""
        return self._log.read_text() if self._log.exists() else ""


def start(
    command: str,
    *arguments: str,
    cache: pathlib.Path,
    log: pathlib.Path,
    devices: int = 1,
    folder: pathlib.Path = ROOT,
) -> Forked:
    """Starts `cgar COMMAND` in a folder.

    Args:
      command: name of the subcommand.
      *arguments: its arguments.
      cache: folder for puzzles and compiled programs.
      log: file for the output.
      devices: number of simulated devices.
      folder: working directory.
    """
    return Forked(log, _run, command, arguments, cache, devices, folder)


def start_two(
    command: str, *arguments: str, cache: pathlib.Path, log: pathlib.Path
) -> list[Forked]:
    """Starts two processes of one run, with two devices each, on this machine.

    The output of process k goes to the file `<log>.<k>`. A dead process is noticed sooner than in
    an ordinary run.
    """
    both = (*arguments, f"--coordinator_address={free_address()}", "--num_processes=2")
    return [
        Forked(log_of, _run_watched, command, (*both, f"--process_id={k}"), cache, 2, ROOT)
        for k, log_of in enumerate((log.with_suffix(".0"), log.with_suffix(".1")))
    ]


def free_address() -> str:
    """Returns an address of this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def run(
    command: str,
    *arguments: str,
    cache: pathlib.Path,
    devices: int = 1,
    folder: pathlib.Path = ROOT,
) -> tuple[int, str]:
    """Runs `cgar COMMAND` to its end; returns the exit code and the output, stderr included."""
    with tempfile.NamedTemporaryFile() as log:
        path = pathlib.Path(log.name)
        process = start(command, *arguments, cache=cache, log=path, devices=devices, folder=folder)
        return process.wait(), process.output()


def run_apart(command: str, *arguments: str, cache: pathlib.Path) -> tuple[int, str, str]:
    """Runs `cgar COMMAND` to its end; returns the exit code, stdout and stderr."""
    with tempfile.NamedTemporaryFile() as log, tempfile.NamedTemporaryFile() as errors:
        process = Forked(pathlib.Path(log.name), _run_apart, errors.name, command, arguments, cache)
        return (
            process.wait(),
            process.output(),
            pathlib.Path(errors.name).read_text(encoding="utf-8"),
        )


def _call(log, function, arguments):
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(to, 1)
    os.dup2(to, 2)
    function(*arguments)


def _run_apart(errors, command, arguments, cache):
    os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    _run(command, arguments, cache, 1, ROOT)


def _run(command, arguments, cache, devices, folder):
    os.chdir(folder)
    os.environ["XLA_FLAGS"] = f"{HASTY} --xla_force_host_platform_device_count={devices}"
    os.environ["CGAR_DATA_DIR"] = str(cache)
    cli.main(["cgar", command, *arguments])


def _run_watched(*arguments):
    from cgar_jax.training import processes

    processes.HEARTBEAT_TIMEOUT_SECONDS = 10
    _run(*arguments)


def newest_step(workdir: pathlib.Path) -> int:
    """Returns the step of the newest checkpoint of a run; 0 without one."""
    steps = [int(f.name) for f in (workdir / "checkpoints").glob("*") if f.name.isdigit()]
    return max(steps, default=0)


def wait_for(condition: Callable[[], bool], *processes: Forked, seconds: float = 180) -> None:
    """Waits until a condition holds, while all `processes` go on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert all(process.poll() is None for process in processes), "a process has ended"
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)


def result(workdir: pathlib.Path) -> dict:
    """Returns the result of a finished run."""
    return json.loads((workdir / "result.json").read_text())


def metrics(workdir: pathlib.Path) -> list[dict]:
    """Returns the log of a run."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def losses(workdir: pathlib.Path) -> list[float]:
    """Returns the mean losses of the dispatches of a run."""
    return [entry["loss"] for entry in metrics(workdir) if "loss" in entry]
