"""What clusters do to runs. After each fault the same command goes on from the last checkpoint, and
the run ends with bitwise the parameters of an unbroken one. (A process that dies among several is
tried in `test_several_processes.py`.)
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
from tests.faulty_runs import POISONED, STEPS, Run, jumping_clock, nan_in_a_batch


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Workdir of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    finish(workdir)
    return workdir


@pytest.fixture
def workdir(unbroken, tmp_path):
    """Of a run to come, with the puzzles there already."""
    (tmp_path / "cache").symlink_to(unbroken.parent / "cache")
    return tmp_path / "run"


def finish(workdir):
    """Runs to the end, and returns what has been said from the beginning."""
    run = Run(workdir)
    assert run.wait() == 0, run.output()
    return run.output()


def assert_ends_as_unbroken(workdir, unbroken):
    output = finish(workdir)
    digests = [commands.result(run)["parameters_sha256"] for run in (workdir, unbroken)]
    assert digests[0] == digests[1]
    return output


def wait_for_step(run, step):
    commands.wait_for(lambda: commands.newest_step(run.workdir) >= step, run)


def test_killed_at_ten_random_moments(workdir, unbroken):
    moments = random.Random(0)
    for life in range(10):
        kept = commands.newest_step(workdir)
        run = Run(workdir)
        if life % 3:  # while it trains and writes, else at any moment of its start
            wait_for_step(run, kept + 1)
            time.sleep(moments.uniform(0, 0.1))
        else:
            time.sleep(moments.uniform(0, 4))
        run.signal(signal.SIGKILL)
        run.wait()
        assert kept <= commands.newest_step(workdir) < STEPS
    kept = commands.newest_step(workdir)
    output = assert_ends_as_unbroken(workdir, unbroken)
    assert f"resuming at step {kept}" in output
    left = {folder.name for folder in (workdir / "checkpoints").iterdir()}
    assert left == {str(STEPS), str(STEPS - 6), str(STEPS - 12)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_saves_and_says_so(workdir, unbroken, number):
    run = Run(workdir)
    wait_for_step(run, 6)
    run.signal(number)
    assert run.wait() == 128 + number
    assert f"stopped by {signal.Signals(number).name} at step" in run.output()
    assert "saved; the same command goes on from there" in run.output()
    assert_ends_as_unbroken(workdir, unbroken)


def damage_newest(workdir, damage):
    newest = workdir / "checkpoints" / str(commands.newest_step(workdir))
    damage(max(newest.rglob("*"), key=lambda path: path.stat().st_size * path.is_file()))


@pytest.mark.parametrize(
    "damage",
    [lambda file: os.truncate(file, file.stat().st_size // 2), lambda file: file.unlink()],
    ids=["truncated", "deleted"],
)
def test_a_file_of_the_newest_checkpoint_is_damaged(workdir, unbroken, damage):
    shutil.copytree(unbroken, workdir)
    (workdir / "result.json").unlink()
    damage_newest(workdir, damage)
    output = assert_ends_as_unbroken(workdir, unbroken)
    assert f"checkpoints/{STEPS} is damaged" in output
    assert f"resuming at step {STEPS - 6}" in output


def test_a_number_that_is_not_finite_ends_the_run_before_it_is_saved(workdir, unbroken):
    run = Run(workdir, nan_in_a_batch)
    assert run.wait() == 3
    assert f"is not finite at step {POISONED + 1}" in run.output()
    assert f"last good checkpoint: {workdir}/checkpoints/{POISONED - 3}" in run.output()
    assert_ends_as_unbroken(workdir, unbroken)


def test_the_clock_jumps(workdir, unbroken):
    run = Run(workdir, jumping_clock)
    assert run.wait() == 0, run.output()
    assert 0 < commands.result(workdir)["train_seconds"] < 300
    assert_ends_as_unbroken(workdir, unbroken)


def mount(*arguments):
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


@pytest.fixture
def small_disk(workdir):
    """Puts the workdir on a disk of its own, of eight megabytes."""
    workdir.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", workdir):
        pytest.skip("to mount a disk one has to be root")
    yield workdir
    subprocess.run(["umount", str(workdir)], check=True)


def steps_logged(workdir):
    return [entry["step"] for entry in commands.metrics(workdir) if "loss" in entry]


def test_the_disk_is_full_for_a_while(small_disk, unbroken):
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
    assert_ends_as_unbroken(small_disk, unbroken)
    assert steps_logged(small_disk) == steps_logged(unbroken)


def test_the_disk_is_read_only_for_a_while(workdir, unbroken):
    run = Run(workdir)
    wait_for_step(run, 6)
    folder = workdir / "checkpoints"
    if not (mount("--bind", folder, folder) and mount("-o", "remount,ro,bind", folder)):
        run.signal(signal.SIGKILL)
        pytest.skip("to mount a disk one has to be root")
    try:
        commands.wait_for(lambda: "could not be written" in run.output(), run)
    finally:
        # Lazily, as the run may have something open there at this moment.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert run.wait() == 0, run.output()
    assert commands.newest_step(workdir) == STEPS
    assert_ends_as_unbroken(workdir, unbroken)
