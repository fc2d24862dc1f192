"""Stand-ins for SLURM's `sbatch`, `srun` and `scontrol` that run jobs on this machine.

They set the variables that SLURM sets, start real processes, and run a job again when it is
requeued. Unlike the real one, `sbatch` waits for the end of the job. The folder `$FAKE_SLURM`
contains `calls.jsonl` (all calls), `output.txt` (the output of the jobs) and `codes.txt` (their
exit codes).
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

from tests.launch import scripts


class Slurm:
    """The stand-ins in one folder, and what they recorded."""

    def __init__(self, folder: pathlib.Path):
        """Writes the programs into `folder/bin`."""
        self.folder = folder
        program = f"from tests.launch import fake_slurm; fake_slurm.{{}}({str(folder)!r})\n"
        for name in ("sbatch", "srun", "scontrol"):
            scripts.executable(folder / "bin" / name, program.format(name))

    def submit(self, *arguments: str, **more: str) -> tuple[int, str]:
        """Runs `launch/slurm.sh` with the stand-ins on the path."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return scripts.run("launch/slurm.sh", *arguments, PATH=path, **more)

    def calls(self, name: str) -> list[list[str]]:
        """Returns the arguments of each call of a program."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [call[1:] for call in map(json.loads, lines) if call[0] == name]

    def output(self) -> str:
        """Returns what the jobs printed."""
        return (self.folder / "output.txt").read_text()

    def codes(self) -> list[int]:
        """Returns the final exit code of each job; requeued attempts are not counted."""
        return [int(line) for line in (self.folder / "codes.txt").read_text().split()]


def sbatch(folder: str) -> None:
    """Runs the job, or each job of an array, until it is no longer requeued."""
    slurm, options, (script, *arguments) = called(folder, "sbatch")
    tasks = int(options["nodes"]) * int(options["ntasks-per-node"])
    exported = dict(each.split("=", 1) for each in options["export"].split(",") if "=" in each)
    variables = {"SLURM_NTASKS": str(tasks), "SLURM_CPUS_PER_TASK": options["cpus-per-task"]}
    for job in jobs(options.get("array")):
        restarts = 0
        while True:
            count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
            requeued = len(slurm.calls("scontrol"))
            with (slurm.folder / "output.txt").open("a") as output:
                code = subprocess.run(
                    ["bash", script, *arguments],
                    env=os.environ | exported | variables | job | count,
                    stdout=output,
                    stderr=output,
                ).returncode
            if len(slurm.calls("scontrol")) == requeued:
                break
            restarts += 1
        with (slurm.folder / "codes.txt").open("a") as codes:
            codes.write(f"{code}\n")


def srun(folder: str) -> None:
    """Starts the tasks on this machine, and exits with their highest exit code."""
    slurm, _, command = called(folder, "srun")
    tasks = []
    for index in range(int(os.environ["SLURM_NTASKS"])):
        own = {"SLURM_PROCID": index, "SLURM_LOCALID": index, "SLURM_STEP_NUM_NODES": 1}
        own |= {"SLURM_STEP_NODELIST": "localhost", "FAKE_SLURM": slurm.folder}
        variables = os.environ | {name: str(value) for name, value in own.items()}
        tasks.append(subprocess.Popen(command, env=variables))
    codes = [task.wait() for task in tasks]
    sys.exit(max(128 - code if code < 0 else code for code in codes))


def scontrol(folder: str) -> None:
    """Records `scontrol requeue JOB`; `sbatch` looks for the record."""
    called(folder, "scontrol")


def called(folder: str, name: str) -> tuple[Slurm, dict[str, str], list[str]]:
    """Records a call, and returns its options and the arguments that follow them."""
    slurm, arguments = object.__new__(Slurm), sys.argv[1:]
    slurm.folder = pathlib.Path(folder)
    with (slurm.folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps([name, *arguments]) + "\n")
    options = {}
    while arguments and arguments[0].startswith("--"):
        key, _, value = arguments.pop(0).removeprefix("--").partition("=")
        options[key] = value
    return slurm, options, arguments


def jobs(array: str | None) -> list[dict[str, str]]:
    """Returns the variables of each job; the last job of an array has the array's own number."""
    number = free_job_id()
    if array is None:
        return [{"SLURM_JOB_ID": str(number)}]
    last = int(array.split("-")[1])
    return [
        {
            "SLURM_JOB_ID": str(number if index == last else number + 1 + index),
            "SLURM_ARRAY_JOB_ID": str(number),
            "SLURM_ARRAY_TASK_ID": str(index),
        }
        for index in range(last + 1)
    ]


def free_job_id() -> int:
    """Returns a job number whose port is free: JAX derives the coordinator's port from it."""
    for number in range(os.getpid(), os.getpid() + 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("localhost", number % 2**12 + 65536 - 2**12))
            except OSError:
                continue
            return number
    raise OSError("no port is free")
