"""Tests the SLURM scripts with stand-ins for SLURM that start real processes."""

import json
import re

import pytest

from tests import running as commands
from tests.launch import scripts
from tests.launch.fake_slurm import Slurm


@pytest.fixture
def slurm(tmp_path):
    return Slurm(tmp_path)


def python(slurm, program):
    """Writes an interpreter that always runs `program`, and returns its path."""
    return str(scripts.executable(slurm.folder / "python", program))


EXITS = """
import os, pathlib, sys
codes = pathlib.Path(os.environ["FAKE_SLURM"], "exits")
code, *rest = codes.read_text().split()
codes.write_text(" ".join(rest))
sys.exit(int(code))
"""


def submit_exiting(slurm, codes, *options):
    (slurm.folder / "exits").write_text(" ".join(map(str, codes)))
    done = slurm.submit(*options, "--", "--config=c.py", PYTHON=python(slurm, EXITS))
    assert done[0] == 0, done[1]


@pytest.mark.parametrize("code", [143, 75])
def test_a_job_that_can_resume_is_requeued_once(slurm, code):
    submit_exiting(slurm, [code, 0])
    [(action, job)] = slurm.calls("scontrol")
    assert action == "requeue"
    assert job.isdecimal()
    assert slurm.codes() == [0]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 137])
def test_any_other_exit_code_becomes_the_exit_code_of_the_job(slurm, code):
    submit_exiting(slurm, [code])
    assert slurm.calls("scontrol") == []
    assert slurm.codes() == [code]


def test_a_job_with_a_killed_task_is_requeued(slurm):
    # srun returns the highest code, 137, and not the 75 of the task that lost the other one.
    program = """
import os, signal, sys
if "SLURM_RESTART_COUNT" not in os.environ:
    os.kill(os.getpid(), signal.SIGKILL) if os.environ["SLURM_PROCID"] == "1" else sys.exit(75)
"""
    options = ("--nodes=2", "--gpus_per_node=0", "--", "--config=c.py")
    code, output = slurm.submit(*options, PYTHON=python(slurm, program))
    assert code == 0, output
    assert len(slurm.calls("scontrol")) == 1
    assert slurm.codes() == [0]


def test_a_job_is_not_requeued_more_often_than_allowed(slurm):
    submit_exiting(slurm, [75, 143, 75, 0], "--max_restarts=2")
    assert len(slurm.calls("scontrol")) == 2
    assert slurm.codes() == [75]
    assert "exit code 75 after 2 restarts: not queued again; resubmit to resume" in slurm.output()


def test_each_job_of_a_sweep_is_requeued_by_its_own_number(slurm):
    # Replaces both the sweep, which prints its number of runs, and each of the runs.
    program = f"import sys\nif '--count' in sys.argv: sys.exit(print(2))\n{EXITS}"
    (slurm.folder / "exits").write_text("0 143 0")
    interpreter = python(slurm, program)
    code, output = slurm.submit("--sweep", "--", "--config=c.py", PYTHON=interpreter)
    assert code == 0, output
    [submitted] = slurm.calls("sbatch")
    assert "--array=0-1" in submitted
    started = [" ".join(call) for call in slurm.calls("srun")]
    assert [re.search(r"sweep.py --index=(\d) -- --config", call)[1] for call in started] == [
        "0",
        "1",
        "1",
    ]
    [(_, job)] = slurm.calls("scontrol")
    assert re.fullmatch(r"\d+_1", job)
    assert slurm.codes() == [0, 0]


def test_jax_connects_the_processes_that_srun_starts(slurm):
    program = """
import jax
jax.distributed.initialize()
print(f"process {jax.process_index()} of {jax.process_count()}, {jax.device_count()} devices")
"""
    options = ("--nodes=2", "--gpus_per_node=0")
    code, output = slurm.submit(*options, "--", "--config=c.py", PYTHON=python(slurm, program))
    assert code == 0, output
    assert slurm.codes() == [0], slurm.output()
    assert "process 0 of 2, 2 devices" in slurm.output()
    assert "process 1 of 2, 2 devices" in slurm.output()


# Starts the trainer. In the first job, it sends SIGTERM after a few training steps, as SLURM does
# before the time limit.
LIMITED = """
import os, pathlib, subprocess, sys, time
trainer = subprocess.Popen([sys.executable, *sys.argv[1:]])
metrics = pathlib.Path(os.environ["FAKE_SLURM"], "run", "metrics.jsonl")
while "SLURM_RESTART_COUNT" not in os.environ and trainer.poll() is None:
    if metrics.exists() and metrics.read_text():
        trainer.terminate()
        break
    time.sleep(0.01)
sys.exit(trainer.wait())
"""


def test_a_run_that_reaches_its_time_limit_resumes_in_the_next_job(slurm):
    workdir = slurm.folder / "run"
    settings = [*commands.TINY_AND_SHALLOW, "--config.checkpoint.every_steps=1000"]
    trainer = [*settings, f"--workdir={workdir}"]
    code, output = slurm.submit(
        "--nodes=2",
        "--gpus_per_node=0",
        "--",
        *trainer,
        PYTHON=python(slurm, LIMITED),
        CGAR_DATA_DIR=str(slurm.folder / "cache"),
        XLA_FLAGS=commands.HASTY,
    )
    assert code == 0, output
    assert slurm.codes() == [0], slurm.output()
    assert len(slurm.calls("scontrol")) == 1, slurm.output()
    assert "parameters on 2 x cpu" in slurm.output()
    assert "resuming at step" in slurm.output()
    assert json.loads((workdir / "result.json").read_text())["steps"] == 40


def test_the_job_has_one_task_per_gpu_and_time_to_save():
    options = ("--nodes=2", "--gpus_per_node=8", "--save_seconds=120", "--sbatch=--partition=gpu")
    code, output = scripts.run(
        "launch/slurm.sh", *options, "--dry_run", "--", "--config=c.py", "--x=a b"
    )
    assert code == 0, output
    submitted = next(line for line in output.splitlines() if line.startswith("sbatch"))
    for option in (
        "--nodes=2",
        "--ntasks-per-node=8",
        "--gpus-per-node=8",
        "--gpu-bind=none",
        "--signal=TERM@120",
        "--requeue",
        "--open-mode=append",
        "--partition=gpu",
    ):
        assert option in submitted.split()
    assert submitted.endswith("launch/slurm_job.sh --config=c.py '--x=a b'")
    assert (scripts.ROOT / "launch/slurm_job.sh").read_text() in output


def test_a_bad_sweep_is_not_submitted(slurm):
    code, output = slurm.submit("--sweep", "--", "--config=configs/nope.py")
    assert code == 2
    assert "there is no config 'configs/nope.py'" in output
    assert not (slurm.folder / "calls.jsonl").exists()
