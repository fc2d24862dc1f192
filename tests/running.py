"""Running the commands in processes of their own, on a config of seconds."""

import importlib.util
import json
import multiprocessing
import os
import pathlib
import socket
import sys
import tempfile
import time
import types
from collections.abc import Callable
from typing import Any

from cgar_jax.commands import cli

ROOT = pathlib.Path(__file__).parent.parent
HASTY = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
    ]
)
# Processes forked from one that has imported everything start at once.
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
TINY = [
    "--config=configs/sudoku_mini.py",
    "--config.data.size=4",
    "--config.data.num_clues=6",
    "--config.data.num_train=30",
    "--config.data.num_validation=10",
    "--config.data.num_test=20",
    "--config.batch_size=8",
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


def load(path: pathlib.Path) -> types.ModuleType:
    """Imports a file that lies in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Forked:
    """A process in which all is imported from the first; what it says goes to the end of a file."""

    def __init__(self, log: pathlib.Path, function: Callable, *arguments: Any):
        """Calls `function` with arguments that can be pickled; its output goes to `log`."""
        self._log = log
        self._process = FORKED.Process(target=_call, args=(log, function, arguments), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._process.exitcode

    def signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """Waits for its end and returns the exit code."""
        self._process.join(timeout=seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"it does not end: {self.output()}")
        return self._process.exitcode

    def output(self) -> str:
        """What is in the file by now."""
        return self._log.read_text() if self._log.exists() else ""


def start(
    command: str, *arguments: str, cache: pathlib.Path, log: pathlib.Path, devices: int = 1
) -> Forked:
    """Starts `cgar COMMAND`, which sees so many devices and keeps its puzzles in `cache`."""
    return Forked(log, _run, command, arguments, cache, devices)


def start_two(
    command: str, *arguments: str, cache: pathlib.Path, log: pathlib.Path
) -> list[Forked]:
    """Starts two processes of one run, with four devices each, on this machine.

    The output of process k goes to the file `<log>.<k>`.
    """
    both = (*arguments, f"--coordinator_address={free_address()}", "--num_processes=2")
    return [
        start(command, *both, f"--process_id={k}", cache=cache, log=log_of, devices=4)
        for k, log_of in enumerate((log.with_suffix(".0"), log.with_suffix(".1")))
    ]


def free_address() -> str:
    """Of this machine, at which nobody listens."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def run(command: str, *arguments: str, cache: pathlib.Path, devices: int = 1) -> tuple[int, str]:
    """Runs `cgar COMMAND` to its end: exit code and output."""
    with tempfile.NamedTemporaryFile() as log:
        process = start(
            command, *arguments, cache=cache, log=pathlib.Path(log.name), devices=devices
        )
        return process.wait(), process.output()


def _call(log, function, arguments):
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(to, 1)
    os.dup2(to, 2)
    function(*arguments)


def _run(command, arguments, cache, devices):
    os.chdir(ROOT)
    os.environ["XLA_FLAGS"] = f"{HASTY} --xla_force_host_platform_device_count={devices}"
    os.environ["CGAR_DATA_DIR"] = str(cache)
    sys.argv = ["cgar", command, *arguments]
    cli.main()


def newest_step(workdir: pathlib.Path) -> int:
    """The step of the newest checkpoint of a run; 0 without one."""
    steps = [int(f.name) for f in (workdir / "checkpoints").glob("*") if f.name.isdigit()]
    return max(steps, default=0)


def wait_for(condition: Callable[[], bool], *processes: Forked, seconds: float = 180) -> None:
    """Waits until something is so, while all `processes` go on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert all(process.poll() is None for process in processes), "a process has ended"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def result(workdir: pathlib.Path) -> dict:
    """The figures of a finished run."""
    return json.loads((workdir / "result.json").read_text())


def metrics(workdir: pathlib.Path) -> list[dict]:
    """What a run has logged."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def losses(workdir: pathlib.Path) -> list[float]:
    """The mean losses of the dispatches of a run."""
    return [entry["loss"] for entry in metrics(workdir) if "loss" in entry]
