"""Running the commands as a user does: in processes of their own, on a config of seconds."""

import json
import multiprocessing
import os
import pathlib
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO

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
        "cgar_jax.train",
        "cgar_jax.evaluate",
        "cgar_jax.convert",
        "cgar_jax.estimate",
        "cgar_jax.export",
        "cgar_jax.report",
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


def start(
    module: str,
    *arguments: str,
    cache: pathlib.Path,
    devices: int = 1,
    output: int | IO = subprocess.PIPE,
) -> subprocess.Popen:
    """Starts `python -m module`; its output is one text.

    It sees so many devices. Data is kept in `cache`.
    """
    return subprocess.Popen(
        [sys.executable, "-u", "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | _environment(cache, devices),
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_two(module: str, *arguments: str, cache: pathlib.Path, log: pathlib.Path) -> list:
    """Starts two processes of one run, with four devices each, on this machine.

    The output of process k goes to the file `<log>.<k>`, which `output_of` reads.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    started = []
    for process_id in range(2):
        flags = (
            f"--coordinator_address={address}",
            "--num_processes=2",
            f"--process_id={process_id}",
        )
        with log.with_suffix(f".{process_id}").open("w") as output:
            process = start(module, *arguments, *flags, cache=cache, devices=4, output=output)
        started.append(process)
    return started


def output_of(log: pathlib.Path, process_id: int) -> str:
    """What a process of `start_two` has said so far."""
    return log.with_suffix(f".{process_id}").read_text()


def run(module: str, *arguments: str, cache: pathlib.Path, devices: int = 1) -> tuple[int, str]:
    """Runs `python -m module` to its end, in a forked process: exit code and output."""
    with tempfile.NamedTemporaryFile("r") as output:
        process = FORKED.Process(target=_run, args=(module, arguments, cache, devices, output.name))
        process.start()
        process.join(timeout=300)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{module} does not end: {output.read()}")
        return process.exitcode, output.read()


def _run(module, arguments, cache, devices, output):
    join_output(pathlib.Path(output))
    os.chdir(ROOT)
    os.environ.update(_environment(cache, devices))
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def join_output(log: pathlib.Path) -> None:
    """What this process says goes to the end of a file."""
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(to, 1)
    os.dup2(to, 2)


def _environment(cache: pathlib.Path, devices: int) -> dict[str, str]:
    flags = f"{HASTY} --xla_force_host_platform_device_count={devices}"
    return {"XLA_FLAGS": flags, "CGAR_DATA_DIR": str(cache)}


def newest_step(workdir: pathlib.Path) -> int:
    """The step of the newest checkpoint of a run; 0 without one."""
    steps = [int(f.name) for f in (workdir / "checkpoints").glob("*") if f.name.isdigit()]
    return max(steps, default=0)


def wait_for(
    condition: Callable[[], bool], *processes: subprocess.Popen, seconds: float = 180
) -> None:
    """Waits until something is so, while all `processes` go on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert all(process.poll() is None for process in processes), "a process has ended"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def result(workdir: pathlib.Path) -> dict:
    """The figures of a finished run."""
    return json.loads((workdir / "result.json").read_text())


def losses(workdir: pathlib.Path) -> list[float]:
    """The mean losses of the dispatches of a run."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [record["loss"] for record in records if "loss" in record]
