"""Trains on one host and restarts the trainer from its last checkpoint; also rehearses a cluster.

One process drives all accelerators of the host. When the trainer is stopped (exit code 143) or
loses another process (75), it is restarted and resumes from its last checkpoint. Ctrl-C or SIGTERM
lets it save, and ends it. --deterministic makes GPUs add in a fixed order, so that a resumed run
ends with bitwise the same parameters as an uninterrupted one.

With --processes=N, N processes connect to each other on this host as they would in a cluster, each
with --simulated_devices CPU devices. Every line of their output starts with the number of its
process. When one process dies, the others get --patience seconds to notice and --patience seconds
to save before they are killed; all of them restart if the one that died was killed. The exit code
is the most serious one of all processes.

Not covered: several hosts; see `launch/slurm.sh`, `launch/kubernetes.sh` and `launch/tpu_pod.sh`.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from absl import flags
from local_processes import LOST, STOPPED, Processes, exit_code, shell_command, worst_exit_code

from cgar_jax.commands.command_line import leave, parse_command
from cgar_jax.commands.usage import Interface

EXAMPLES = (
    "python launch/one_host.py -- sudoku_extreme",
    "python launch/one_host.py --processes=2 --simulated_devices=4 -- sudoku_mini",
)


def define_flags() -> None:
    """Defines this launcher's flags."""
    flags.DEFINE_integer("processes", 1, "number of trainer processes", lower_bound=1)
    flags.DEFINE_integer(
        "simulated_devices",
        0,
        "number of simulated CPU devices per process; 0 uses the accelerators of the host",
        lower_bound=0,
    )
    flags.DEFINE_bool("deterministic", False, "make GPUs add in a fixed order")
    flags.DEFINE_integer("max_restarts", 100, "maximum number of restarts")
    flags.DEFINE_float(
        "patience", 60, "seconds that other processes have to notice a death, and then to save"
    )
    flags.DEFINE_bool("dry_run", False, "print the commands, and run nothing")


def environment(values: flags.FlagValues) -> dict[str, str]:
    """Returns the variables that the trainer needs in addition to those of this process."""
    xla_flags, variables = [os.environ.get("XLA_FLAGS", "")], {}
    if values.deterministic:
        xla_flags.append("--xla_gpu_deterministic_ops=true")
    if values.simulated_devices:
        xla_flags.append(f"--xla_force_host_platform_device_count={values.simulated_devices}")
        variables["JAX_PLATFORMS"] = "cpu"
    if any(xla_flags[1:]):
        variables["XLA_FLAGS"] = " ".join(filter(None, xla_flags))
    return variables


def commands(num_processes: int, arguments: Sequence[str]) -> list[list[str]]:
    """Returns the trainer's command for each process.

    Args:
      num_processes: number of processes.
      arguments: arguments of the trainer.
    """
    trainer = [sys.executable, "-u", "-m", "cgar_jax", "train", *arguments]
    if num_processes == 1:
        return [[*trainer, "--num_processes=1"]]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    shared = [f"--coordinator_address={address}", f"--num_processes={num_processes}"]
    return [[*trainer, *shared, f"--process_id={index}"] for index in range(num_processes)]


def train(processes: Processes, values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Runs the trainer once in all its processes, and returns the most serious exit code."""
    started, readers = [], []
    for index, command in enumerate(commands(values.processes, arguments)):
        if values.processes == 1:
            started.append(processes.start(command, environment(values)))
        else:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            # Bytes that are no text must not end the reader, which would block the process.
            as_text = {"text": True, "errors": "replace"}
            started.append(processes.start(command, environment(values), **streams, **as_text))
            reader = threading.Thread(target=print_lines, args=(started[-1].stdout, f"{index}: "))
            reader.start()
            readers.append(reader)
    wait_for_all(processes, started, values.patience)
    for reader in readers:
        reader.join()
    codes = [exit_code(process) for process in started]
    if len(codes) > 1:  # a killed process is lost, and the others cannot continue without it
        codes = [LOST if code > 130 and code != STOPPED else code for code in codes]
    return worst_exit_code(codes)


def wait_for_all(
    processes: Processes, started: Sequence[subprocess.Popen], patience: float
) -> None:
    """Waits for all processes; once one has failed, stops the others, and then kills them.

    Args:
      processes: owner of the processes.
      started: the processes.
      patience: seconds until the others are stopped, and from then until they are killed.
    """
    measures = [processes.stop, lambda: processes.stop(9)]
    deadline = None
    while any(process.poll() is None for process in started):
        time.sleep(0.1)
        if deadline is None and any(exit_code(process) for process in started):
            deadline = time.monotonic() + patience
        if measures and deadline is not None and time.monotonic() > deadline:
            measures.pop(0)()
            deadline += patience


def print_lines(stream, prefix: str) -> None:
    """Prints the lines of a stream, each with a prefix."""
    for line in stream:
        print(prefix + line, end="", flush=True)


def main(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Runs this launcher and returns its exit code."""
    named = arguments and not arguments[0].startswith("-")
    if not named and not any(argument.startswith("--config=") for argument in arguments):
        leave("error: name the config after --, for example: -- sudoku_mini", 2)
    if values.dry_run:
        lines = [
            shell_command(command, environment(values))
            for command in commands(values.processes, arguments)
        ]
        print(" &\n".join(lines) + (" & wait" if len(lines) > 1 else ""))
        return 0
    with Processes() as processes:
        for restarts_left in reversed(range(values.max_restarts + 1)):
            code = train(processes, values, arguments)
            if code not in (STOPPED, LOST) or processes.signal or not restarts_left:
                break
            print(f"exit code {code}: restarting from the last checkpoint", file=sys.stderr)
    return code


INTERFACE = Interface(
    "python launch/one_host.py",
    main,
    define_flags,
    description=__doc__.strip(),
    arguments="[OPTIONS] -- CONFIG",
    examples=EXAMPLES,
)

if __name__ == "__main__":
    sys.exit(main(*parse_command(INTERFACE, sys.argv[1:])))
