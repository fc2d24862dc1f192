"""Trains on one host, begins again where it was stopped, and rehearses a cluster.

    python launch/one_host.py -- --config=configs/sudoku_extreme.py
    python launch/one_host.py --processes=2 --simulated_devices=4 -- --config=configs/sudoku_mini.py

One process drives all the accelerators of a host. Where the trainer is stopped (exit code 143) or
loses another process (75), it is started again and goes on from its last checkpoint; Ctrl-C or
SIGTERM saves and ends it. `--deterministic` makes GPUs add in a fixed order, so that a resumed run
ends with bitwise the parameters of an unbroken one.

With `--processes`, as many processes find each other on this host, as those of a cluster do, each
with `--simulated_devices` CPU devices. The lines of their output begin with their number. When one
dies, the others have `--patience` seconds to notice, and all begin again if it was killed. The exit
code is the worst of theirs.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from absl import app, flags
from local_processes import LOST, STOPPED, Processes, exit_code, shown, worst

from cgar_jax.commands.command_line import leave, parse_flags

PROCESSES = flags.DEFINE_integer("processes", 1, "How many processes train.", lower_bound=1)
SIMULATED_DEVICES = flags.DEFINE_integer(
    "simulated_devices", 0, "CPU devices of each process; 0 takes what the host has.", lower_bound=0
)
DETERMINISTIC = flags.DEFINE_bool("deterministic", False, "Sums on GPUs in a fixed order.")
MAX_RESTARTS = flags.DEFINE_integer("max_restarts", 100, "How often to begin again at most.")
PATIENCE = flags.DEFINE_float(
    "patience", 60, "Seconds that the others have when a process has died, and then to save."
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Prints the commands instead of running them.")


def environment() -> dict[str, str]:
    """What the trainer needs to find there, beside what is set already."""
    xla_flags, added = [os.environ.get("XLA_FLAGS", "")], {}
    if DETERMINISTIC.value:
        xla_flags.append("--xla_gpu_deterministic_ops=true")
    if SIMULATED_DEVICES.value:
        xla_flags.append(f"--xla_force_host_platform_device_count={SIMULATED_DEVICES.value}")
        added["JAX_PLATFORMS"] = "cpu"
    if any(xla_flags[1:]):
        added["XLA_FLAGS"] = " ".join(filter(None, xla_flags))
    return added


def commands(arguments: Sequence[str]) -> list[list[str]]:
    """The command of each process."""
    trainer = [sys.executable, "-u", "-m", "cgar_jax", "train", *arguments]
    if PROCESSES.value == 1:
        return [[*trainer, "--num_processes=1"]]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    together = [f"--coordinator_address={address}", f"--num_processes={PROCESSES.value}"]
    return [[*trainer, *together, f"--process_id={index}"] for index in range(PROCESSES.value)]


def train(processes: Processes, arguments: Sequence[str]) -> int:
    """Runs the trainer once, in all its processes; returns the worst exit code."""
    together, readers = [], []
    for index, command in enumerate(commands(arguments)):
        if PROCESSES.value == 1:
            together.append(processes.start(command, environment()))
        else:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            together.append(processes.start(command, environment(), **streams))
            reader = threading.Thread(target=pass_on, args=(together[-1].stdout, f"{index}: "))
            reader.start()
            readers.append(reader)
    wait_for(processes, together)
    for reader in readers:
        reader.join()
    codes = [exit_code(process) for process in together]
    if len(codes) > 1:  # one that was killed is lost; the others cannot go on without it
        codes = [LOST if code > 130 and code != STOPPED else code for code in codes]
    return worst(codes)


def wait_for(processes: Processes, together: Sequence[subprocess.Popen]) -> None:
    """Until all have ended: the others are told to, and then made to, if one has died."""
    means = [processes.stop, lambda: processes.stop(9)]
    deadline = None
    while any(process.poll() is None for process in together):
        time.sleep(0.1)
        if deadline is None and any(exit_code(process) for process in together):
            deadline = time.monotonic() + PATIENCE.value
        if means and deadline is not None and time.monotonic() > deadline:
            means.pop(0)()
            deadline += PATIENCE.value


def pass_on(stream, prefix: str) -> None:
    """Prints the lines of a stream, each with what tells whose it is."""
    for line in stream:
        print(prefix + line, end="", flush=True)


def main(argv: Sequence[str]) -> None:
    """The command line."""
    arguments = argv[1:]
    if not any(argument.startswith("--config=") for argument in arguments):
        leave("error: give the trainer's arguments after --, such as -- --config=FILE", 2)
    if DRY_RUN.value:
        every = [shown(command, environment()) for command in commands(arguments)]
        print(" &\n".join(every) + (" & wait" if len(every) > 1 else ""))
        return
    with Processes() as processes:
        for restarts_left in reversed(range(MAX_RESTARTS.value + 1)):
            code = train(processes, arguments)
            if code not in (STOPPED, LOST) or processes.signal or not restarts_left:
                sys.exit(code)
            print(f"exit code {code}: beginning again from the last checkpoint", file=sys.stderr)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
