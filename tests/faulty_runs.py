"""A tiny run of the real trainer that can be killed, or in which something is amiss."""

import concurrent.futures
import itertools
import pathlib
import time

from tests import running as commands

STEPS = 168
POISONED = STEPS // 2 + 3  # the first step of a dispatch at which not all examples are fresh


class Run(commands.Forked):
    """A process that trains in `workdir`; `fault` is one of the functions below.

    Its output follows that of the runs before it in the same workdir.
    """

    def __init__(self, workdir: pathlib.Path, fault=None):
        self.workdir = workdir
        super().__init__(workdir.with_suffix(".log"), _train, workdir, fault)


def _train(workdir, fault):
    if fault is not None:
        fault()

    from cgar_jax.commands import runner as command
    from cgar_jax.commands import train

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
    from cgar_jax.commands import train

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
