"""One run in several processes: it equals a run in one process, and all processes end together."""

import signal
import time

import chex
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from cgar_jax.commands import runner as command
from cgar_jax.training import processes
from tests import running as commands

TRAIN = "train"
TINY = (*commands.TINY_AND_SHALLOW, "--config.evaluation.every_steps=1000")


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, cache):
    """The workdir of a run in one process with four devices."""
    workdir = tmp_path_factory.mktemp("one")
    code, output = commands.run(TRAIN, *TINY, f"--workdir={workdir}", cache=cache, devices=4)
    assert code == 0, output
    return workdir


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, cache):
    """The workdir of the same run in two processes with two devices each, and their outputs."""
    workdir = tmp_path_factory.mktemp("two")
    return workdir, [process.output() for process in finish(workdir, cache)]


def start(workdir, cache, log="finish"):
    arguments = (*TINY, f"--workdir={workdir}")
    return commands.start_two(TRAIN, *arguments, cache=cache, log=workdir / log)


def finish(workdir, cache):
    processes = start(workdir, cache)
    assert [process.wait() for process in processes] == [0, 0], processes[0].output()
    return processes


def parameters(workdir):
    """The parameters of the last checkpoint, as numpy arrays."""
    path = workdir / "checkpoints" / "40" / "state"
    checkpointer = ocp.PyTreeCheckpointer()
    as_numpy = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
        checkpointer.metadata(path).item_metadata.tree,
    )
    state = checkpointer.restore(path, restore_args=as_numpy)
    return state["params"]


def test_two_processes_train_like_one(one_process, two_processes):
    workdir, _ = two_processes
    np.testing.assert_allclose(commands.losses(workdir), commands.losses(one_process), atol=1e-5)
    chex.assert_trees_all_close(parameters(workdir), parameters(one_process), atol=1e-5)


def test_only_the_first_process_writes_logs(two_processes):
    _, (first, second) = two_processes
    assert "step 40/40" in first
    assert "step" not in second


def test_a_run_resumes_after_one_process_was_killed_and_after_one_was_stopped(
    two_processes, tmp_path, cache
):
    first, second = start(tmp_path, cache, "killed")
    commands.wait_for(lambda: commands.newest_step(tmp_path) >= 10, first, second)
    second.signal(signal.SIGKILL)
    # No process waits forever for a dead one.
    assert first.wait(seconds=60) != 0
    assert "another task died" in first.output()
    before = commands.newest_step(tmp_path)
    assert before < 40

    first, second = start(tmp_path, cache, "stopped")
    commands.wait_for(lambda: "step" in first.output(), first, second)
    second.signal(signal.SIGTERM)
    assert [first.wait(), second.wait()] == [143, 143]
    assert "stopped by SIGTERM" in first.output()
    assert before < commands.newest_step(tmp_path) < 40

    finish(tmp_path, cache)
    digests = [commands.result(run)["parameters_sha256"] for run in (tmp_path, two_processes[0])]
    assert digests[0] == digests[1]


def end_after(seconds, address, process_id):
    """A command in one of two processes; the other one may end before it."""
    processes.connect(address, 2, process_id)
    command.run(lambda: time.sleep(seconds))


def test_a_process_that_has_finished_is_not_taken_for_dead(tmp_path):
    address = commands.free_address()
    both = [
        commands.Forked(tmp_path / f"log{k}", end_after, seconds, address, k)
        for k, seconds in enumerate((0, 3))
    ]
    assert [process.wait() for process in both] == [0, 0], both[1].output()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"coordinator_address": "localhost:1"}, "--num_processes, --process_id is missing"),
        ({"process_id": 0, "num_processes": 2}, "--coordinator_address is missing"),
    ],
)
def test_flags_of_several_processes_must_be_given_together(flags, message):
    with pytest.raises(ValueError, match=message):
        processes.connect(**flags)
