"""Faults of clusters: kills, signals, damaged files, full disks, numbers that are not finite.

After each fault the same command resumes from the last checkpoint, and the run ends with bitwise
the parameters of an undisturbed run. The death of one of several processes is tested in
`test_several_processes.py`.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from tests import running as commands
from tests.faulty_runs import (
    POISONED,
    STEPS,
    Run,
    jumping_clock,
    nan_in_a_batch,
    single_steps,
    slow_compilation,
    slow_data,
    slow_scoring,
    slow_steps,
)

STOP_SECONDS = 10


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The workdir of a run without any fault."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(workdir)
    return workdir


@pytest.fixture
def workdir(undisturbed, tmp_path):
    """The workdir of a new run, whose puzzles are already generated."""
    (tmp_path / "cache").symlink_to(undisturbed.parent / "cache")
    return tmp_path / "run"


def finish(workdir, fault=None, **settings):
    """Runs to the end; returns the output of this run and of those before it."""
    run = Run(workdir, fault, **settings)
    assert run.wait() == 0, run.output()
    return run.output()


def assert_same_parameters(workdir, undisturbed):
    digests = [commands.result(run)["parameters_sha256"] for run in (workdir, undisturbed)]
    assert digests[0] == digests[1]


def assert_resumes_to_the_same_parameters(workdir, undisturbed):
    output = finish(workdir)
    assert_same_parameters(workdir, undisturbed)
    return output


def wait_for_step(run, step):
    commands.wait_for(lambda: commands.newest_step(run.workdir) >= step, run)


def assert_stops_in_time(run, number=signal.SIGTERM):
    """Sends a signal to a run, which must end with its exit code within ten seconds."""
    began = time.monotonic()
    run.signal(number)
    assert run.wait() == 128 + number, run.output()
    assert time.monotonic() - began < STOP_SECONDS
    assert f"stopped by {signal.Signals(number).name}" in run.output()


def test_a_run_survives_being_killed_while_it_starts_and_while_it_trains(workdir, undisturbed):
    moments = random.Random(0)
    for trains in (False, True, False, True):  # from the first step on, and resumed
        kept = commands.newest_step(workdir)
        run = Run(workdir)
        if trains:
            wait_for_step(run, kept + 1)
            time.sleep(moments.uniform(0, 0.1))
        else:
            time.sleep(moments.uniform(0, 2))
        run.signal(signal.SIGKILL)
        run.wait()
        assert kept <= commands.newest_step(workdir) < STEPS
    kept = commands.newest_step(workdir)
    output = assert_resumes_to_the_same_parameters(workdir, undisturbed)
    assert f"resuming at step {kept}" in output
    left = {folder.name for folder in (workdir / "checkpoints").iterdir()}
    assert left == {str(STEPS), str(STEPS - 6), str(STEPS - 12)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_makes_a_run_save_its_state_and_stop(workdir, undisturbed, number):
    run = Run(workdir)
    wait_for_step(run, 6)
    assert_stops_in_time(run, number)
    assert f"stopped by {signal.Signals(number).name} at step" in run.output()
    assert "saved; the same command continues there" in run.output()
    assert_resumes_to_the_same_parameters(workdir, undisturbed)


def test_a_run_with_slow_steps_stops_in_time_and_saves_the_step_it_has_reached(
    workdir, undisturbed
):
    # The settings alone would allow a dispatch of a minute.
    run = Run(workdir, slow_steps, training__steps_per_dispatch=40, checkpoint__every_steps=80)
    commands.wait_for(lambda: f" 1/{STEPS} " in run.output(), run)
    assert_stops_in_time(run)
    step = commands.newest_step(workdir)
    assert 1 <= step < 20
    assert [entry["step"] for entry in commands.metrics(workdir)] == [step]
    assert_resumes_to_the_same_parameters(workdir, undisturbed)


def test_dispatches_of_other_sizes_give_the_same_parameters_and_records(workdir, undisturbed):
    run = Run(workdir, single_steps)
    wait_for_step(run, 12)
    run.signal(signal.SIGKILL)
    run.wait()
    finish(workdir, training__steps_per_dispatch=5)
    assert_same_parameters(workdir, undisturbed)


def test_the_records_of_metrics_do_not_depend_on_the_sizes_of_dispatches(workdir, undisturbed):
    finish(workdir, single_steps)
    assert_same_parameters(workdir, undisturbed)
    assert steps_logged(workdir) == steps_logged(undisturbed)
    assert commands.losses(workdir) == pytest.approx(commands.losses(undisturbed), rel=1e-5)


def test_a_signal_stops_a_run_that_generates_puzzles(workdir):
    run = Run(workdir, slow_data)
    commands.wait_for(lambda: "loading puzzles" in run.output(), run)
    assert_stops_in_time(run)


def test_a_signal_stops_a_run_that_compiles(workdir):
    run = Run(workdir, slow_compilation)
    commands.wait_for(lambda: "compiling the training step" in run.output(), run)
    assert_stops_in_time(run, signal.SIGINT)
    assert "before training started" in run.output()
    assert commands.newest_step(workdir) == 0


def test_a_signal_stops_the_final_scoring_of_a_run_and_the_same_command_scores_again(
    workdir, undisturbed
):
    run = Run(workdir, slow_scoring)
    commands.wait_for(lambda: "scoring test puzzles" in run.output(), run)
    assert_stops_in_time(run)
    assert not (workdir / "result.json").exists()
    assert_resumes_to_the_same_parameters(workdir, undisturbed)


def test_long_work_reports_that_it_goes_on(workdir):
    run = Run(workdir, slow_compilation)
    commands.wait_for(lambda: run.output().count("compiling the training step") >= 2, run)
    run.signal(signal.SIGKILL)
    run.wait()


def damage_newest(workdir, damage):
    newest = workdir / "checkpoints" / str(commands.newest_step(workdir))
    damage(max(newest.rglob("*"), key=lambda path: path.stat().st_size * path.is_file()))


@pytest.mark.parametrize(
    "damage",
    [lambda file: os.truncate(file, file.stat().st_size // 2), lambda file: file.unlink()],
    ids=["truncated", "deleted"],
)
def test_a_run_resumes_although_a_file_of_the_newest_checkpoint_is_damaged(
    workdir, undisturbed, damage
):
    shutil.copytree(undisturbed, workdir)
    (workdir / "result.json").unlink()
    damage_newest(workdir, damage)
    output = assert_resumes_to_the_same_parameters(workdir, undisturbed)
    assert f"checkpoints/{STEPS} is damaged" in output
    assert f"resuming at step {STEPS - 6}" in output


def test_a_number_that_is_not_finite_ends_the_run_before_it_is_saved(workdir, undisturbed):
    run = Run(workdir, nan_in_a_batch)
    assert run.wait() == 3
    assert f"is not finite at step {POISONED + 1}" in run.output()
    assert f"last good checkpoint: {workdir}/checkpoints/{POISONED - 3}" in run.output()
    assert_resumes_to_the_same_parameters(workdir, undisturbed)


def test_a_jumping_clock_does_not_disturb_a_run(workdir, undisturbed):
    run = Run(workdir, jumping_clock)
    assert run.wait() == 0, run.output()
    assert 0 < commands.result(workdir)["train_seconds"] < 300
    assert_resumes_to_the_same_parameters(workdir, undisturbed)


def mount(*arguments):
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


@pytest.fixture
def small_disk(workdir):
    """Puts the workdir on a disk of its own, of eight megabytes."""
    workdir.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", workdir):
        pytest.skip("mounting a disk requires root")
    yield workdir
    subprocess.run(["umount", str(workdir)], check=True)


def steps_logged(workdir):
    return [entry["step"] for entry in commands.metrics(workdir) if "loss" in entry]


def test_a_run_survives_a_disk_that_is_full_for_a_while(small_disk, undisturbed):
    run = Run(small_disk)
    wait_for_step(run, 6)
    filling = small_disk / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while free := shutil.disk_usage(small_disk).free:
            file.write(bytes(free))
    commands.wait_for(lambda: "could not be written" in run.output(), run)
    kept = commands.newest_step(small_disk)
    filling.unlink()
    assert run.wait() == 0, run.output()
    assert f"checkpoints/{kept} is kept" in run.output()
    assert commands.newest_step(small_disk) == STEPS
    assert_resumes_to_the_same_parameters(small_disk, undisturbed)
    assert steps_logged(small_disk) == steps_logged(undisturbed)


def test_a_run_survives_a_disk_that_is_read_only_for_a_while(workdir, undisturbed):
    run = Run(workdir)
    wait_for_step(run, 6)
    folder = workdir / "checkpoints"
    if not (mount("--bind", folder, folder) and mount("-o", "remount,ro,bind", folder)):
        run.signal(signal.SIGKILL)
        pytest.skip("mounting a disk requires root")
    try:
        commands.wait_for(lambda: "could not be written" in run.output(), run)
    finally:
        # A lazy unmount, because the run may have a file open there at this moment.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert run.wait() == 0, run.output()
    assert commands.newest_step(workdir) == STEPS
    assert_resumes_to_the_same_parameters(workdir, undisturbed)
