"""Tests `launch/one_host.py` with a few lines of Python in place of the trainer."""

import signal
import subprocess
import sys
import time

import pytest

from tests.launch import scripts

PREAMBLE = """
import os, pathlib, signal, sys, time
index = next((a.split("=")[1] for a in sys.argv if a.startswith("--process_id=")), "0")
starts = pathlib.Path("starts" + index)
starts.write_text((starts.read_text() if starts.exists() else "") + " ".join(sys.argv[1:]) + "\\n")
start = len(starts.read_text().splitlines())
def exit_after(other, code):
    while not pathlib.Path("ready" + other).exists():
        time.sleep(0.01)
    sys.exit(code)
def when_stopped(then):
    signal.signal(signal.SIGTERM, lambda *_: then())
    pathlib.Path("ready" + index).touch()
    while True:
        time.sleep(0.01)
"""


def launch(folder, program, *options):
    scripts.stand_in(folder, PREAMBLE + program)
    return scripts.run("launch/one_host.py", *options, "--", "--config=c.py", cwd=folder)


def starts(folder, index=0):
    return (folder / f"starts{index}").read_text().splitlines()


@pytest.mark.parametrize("code", [143, 75])
def test_the_trainer_restarts_when_it_can_resume(tmp_path, code):
    left, output = launch(tmp_path, f"sys.exit({code} if start < 3 else 0)")
    assert left == 0, output
    assert starts(tmp_path) == ["--config=c.py --num_processes=1"] * 3
    assert f"exit code {code}: restarting from the last checkpoint" in output


@pytest.mark.parametrize("code", [1, 2, 3])
def test_any_other_exit_code_is_passed_on(tmp_path, code):
    assert launch(tmp_path, f"sys.exit({code})")[0] == code
    assert len(starts(tmp_path)) == 1


def test_the_trainer_restarts_no_more_often_than_allowed(tmp_path):
    assert launch(tmp_path, "sys.exit(75)", "--max_restarts=2")[0] == 75
    assert len(starts(tmp_path)) == 3


def test_processes_receive_their_index_and_their_output_is_prefixed_with_it(tmp_path):
    program = "print('devices:', os.environ['XLA_FLAGS'], os.environ['JAX_PLATFORMS'])"
    options = ("--processes=2", "--simulated_devices=3")
    code, output = launch(tmp_path, program, *options)
    assert code == 0, output
    told = [starts(tmp_path, index)[0].split() for index in range(2)]
    assert told[0][1].startswith("--coordinator_address=127.0.0.1:")
    assert told[0][:2] == told[1][:2]
    for index in range(2):
        assert told[index][2:] == ["--num_processes=2", f"--process_id={index}"]
        devices = "devices: --xla_force_host_platform_device_count=3 cpu"
        assert f"{index}: {devices}" in output.splitlines()


@pytest.mark.parametrize(
    ("codes", "worst"), [((75, 3), 3), ((2, 75), 2), ((143, 75), 75), ((0, 143), 143), ((0, 0), 0)]
)
def test_the_exit_code_is_the_most_serious_one_of_all_processes(tmp_path, codes, worst):
    program = f"sys.exit({codes}[int(index)])"
    assert launch(tmp_path, program, "--processes=2", "--max_restarts=0")[0] == worst


def test_when_a_process_dies_the_others_are_stopped_after_the_patience(tmp_path):
    program = """
if index == "1":
    exit_after("0", 3)
when_stopped(lambda: sys.exit(print("saved")))
"""
    code, output = launch(tmp_path, program, "--processes=2", "--patience=0.5")
    assert code == 3
    assert "0: saved" in output
    assert len(starts(tmp_path)) == 1


def test_processes_that_ignore_sigterm_are_killed(tmp_path):
    program = """
if index == "1":
    exit_after("0", 75)
when_stopped(lambda: print("not now"))
"""
    options = ("--processes=2", "--patience=0.1", "--max_restarts=0")
    assert launch(tmp_path, program, *options)[0] == 75


def test_all_processes_restart_when_one_of_them_is_killed(tmp_path):
    program = """
if start == 1 and index == "1":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(134 if start == 1 else 0)  # the code with which JAX ends a process that lost another
"""
    code, output = launch(tmp_path, program, "--processes=2")
    assert code == 0, output
    assert [len(starts(tmp_path, index)) for index in range(2)] == [2, 2]


def test_a_single_process_that_is_killed_does_not_restart(tmp_path):
    assert launch(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")[0] == 137
    assert len(starts(tmp_path)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_each_process_once_as_sigterm(tmp_path, number):
    program = """
stops = []
def stop():
    stops.append(1)
    with open("stopped" + index, "a") as stopped:
        stopped.write("once ")
    time.sleep(0.3)  # saving
    sys.exit(143)
when_stopped(stop)
"""
    scripts.stand_in(tmp_path, PREAMBLE + program)
    launcher = scripts.ROOT / "launch/one_host.py"
    process = subprocess.Popen(
        [sys.executable, launcher, "--processes=2", "--", "--config=c.py"],
        cwd=tmp_path,
        env=scripts.environment(),
        start_new_session=True,
    )
    while not all((tmp_path / f"ready{index}").exists() for index in range(2)):
        assert process.poll() is None
        time.sleep(0.01)
    # Like a terminal at Ctrl-C, this signals the launcher and every process of its group.
    subprocess.run(["kill", f"-{number.value}", "--", f"-{process.pid}"], check=True)
    assert process.wait() == 143
    for index in range(2):
        assert (tmp_path / f"stopped{index}").read_text() == "once "
        assert len(starts(tmp_path, index)) == 1  # a stopped launcher does not restart


def test_a_dry_run_prints_the_commands_for_a_shell(tmp_path):
    options = ("--processes=2", "--simulated_devices=4", "--deterministic", "--dry_run")
    code, output = scripts.run("launch/one_host.py", *options, "--", "--config=c.py", "--a=(1, 2)")
    assert code == 0, output
    first, second = output.splitlines()
    for line in (first, second):
        assert line.startswith(
            "JAX_PLATFORMS=cpu XLA_FLAGS='--xla_gpu_deterministic_ops=true "
            f"--xla_force_host_platform_device_count=4' {sys.executable} -u -m cgar_jax train "
            "--config=c.py '--a=(1, 2)' --coordinator_address=127.0.0.1:"
        )
    assert first.endswith("--num_processes=2 --process_id=0 &")
    assert second.endswith("--num_processes=2 --process_id=1 & wait")
