"""A tiny run of the real trainer in a process that can be killed, or in which something is amiss.

The processes are forked from one that has imported everything, so that a start takes seconds.
"""

import concurrent.futures
import itertools
import os
import pathlib
import time

from tests import commands

STEPS = 240
POISONED = STEPS // 2 + 3  # the first step of a dispatch at which not all examples are fresh


class Run:
    """A process that trains in `workdir`; `fault` is one of the functions below."""

    def __init__(self, workdir: pathlib.Path, fault=None):
        self.workdir = workdir
        self._process = commands.FORKED.Process(target=_train, args=(workdir, fault), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._process.exitcode

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self._process.pid, number)

    def wait(self) -> int:
        """Waits for its end and returns the exit code."""
        self._process.join(timeout=300)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def output(self) -> str:
        """What it has said, and the runs before it in the same workdir."""
        return output(self.workdir)


def output(workdir: pathlib.Path) -> str:
    """What all runs in a workdir have said."""
    path = workdir.with_suffix(".log")
    return path.read_text() if path.exists() else ""


def _train(workdir, fault):
    commands.join_output(workdir.with_suffix(".log"))
    if fault is not None:
        fault()

    from cgar_jax import command, train

    def run():
        train.train(_config(workdir.parent / "cache"), workdir)

    command.run(run)


def _config(cache):
    from absl import flags
    from ml_collections import config_flags

    values = flags.FlagValues()
    argv = ["run", *commands.TINY]
    argv += [f"--config.training.steps={STEPS}", "--config.checkpoint.every_steps=6"]
    argv += [f"--config.data.cache_dir={cache}", "--config.mesh.data=1"]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    values(argv)
    return values.config


def nan_in_a_batch() -> None:
    """The states of the examples at work become NaN at a step in the middle."""
    from cgar_jax import train

    class Programs(train.Programs):
        def prepare(self, depth):
            compiled = super().prepare(depth).result()

            def program(state, data, num_steps):
                if int(state.step) == POISONED:
                    y = state.carry.y * float("nan")
                    state = state._replace(carry=state.carry._replace(y=y))
                return compiled(state, data, num_steps)

            future = concurrent.futures.Future()
            future.set_result(program)
            return future

    train.Programs = Programs


def jumping_clock() -> None:
    """The time of day jumps forward by a day, and later back by two."""
    true, calls = time.time, itertools.count()

    def now():
        call = next(calls)
        return true() + (0 if call < 100 else 86_400 if call < 400 else -86_400)

    time.time = now
