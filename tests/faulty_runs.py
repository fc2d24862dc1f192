"""Tiny runs of the real trainer that can be killed, and faults to inject into them."""

import concurrent.futures
import itertools
import pathlib
import time

from tests import running as commands

STEPS = 96
POISONED = STEPS // 2 + 3  # the first step of a dispatch at which not all examples are fresh
SLOW_STEP_SECONDS = 1.5


class Run(commands.Forked):
    """A process that trains in `workdir`, with a fault if one of the functions below is given.

    Its output is appended to that of earlier runs in the same workdir.
    """

    def __init__(self, workdir: pathlib.Path, fault=None, **settings):
        """Starts the process; `settings` by dotted key, with `__` for the dot."""
        self.workdir = workdir
        super().__init__(workdir.with_suffix(".log"), _train, workdir, fault, settings)


def _train(workdir, fault, settings):
    if fault is not None:
        fault()

    from cgar_jax.commands import runner, train

    def run():
        train.train(_config(workdir.parent / "cache", settings), workdir)

    runner.run(run)


def _config(cache, settings):
    from absl import flags
    from ml_collections import config_flags

    values = flags.FlagValues()
    argv = ["run", *commands.TINY]
    argv += [f"--config.training.steps={STEPS}", "--config.checkpoint.every_steps=6"]
    argv += [f"--config.data.cache_dir={cache}", "--config.mesh.data=1"]
    argv += [f"--config.{key.replace('__', '.')}={value}" for key, value in settings.items()]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    values(argv)
    return values.config


def _replace_programs(change) -> None:
    """Lets the trainer run `change(compiled)` in place of each compiled program."""
    from cgar_jax.commands import train

    class Programs(train.Programs):
        def prepare(self, depth):
            future = concurrent.futures.Future()
            future.set_result(change(super().prepare(depth).result()))
            return future

    train.Programs = Programs


def nan_in_a_batch() -> None:
    """The states of the current examples become NaN at a step in the middle of the run."""

    def poisoned(compiled):
        def program(state, data, num_steps):
            if int(state.step) == POISONED:
                y, z = state.carry.states
                carry = state.carry._replace(states=(y * float("nan"), z))
                state = state._replace(carry=carry)
            return compiled(state, data, num_steps)

        return program

    _replace_programs(poisoned)


def slow_steps() -> None:
    """Every training step takes seconds."""

    def slow(compiled):
        def program(state, data, num_steps):
            time.sleep(SLOW_STEP_SECONDS * int(num_steps))
            return compiled(state, data, num_steps)

        return program

    _replace_programs(slow)


def single_steps() -> None:
    """Every dispatch has one step, as if steps were slow."""
    from cgar_jax.training import pace

    pace.TARGET_SECONDS = 0.0


def slow_compilation() -> None:
    """Programs take minutes to compile."""
    from cgar_jax.training import programs

    programs.Programs._compile = lambda *_: time.sleep(120)


def slow_data() -> None:
    """The puzzles take minutes to generate."""
    from cgar_jax.commands import train

    train.data.load = lambda _: time.sleep(120)


def slow_scoring() -> None:
    """The trained model takes minutes to score."""
    from cgar_jax.commands import train

    train.runs.score = lambda *_: time.sleep(120)


def jumping_clock() -> None:
    """The time of day jumps forward by a day, and later back by two."""
    true, calls = time.time, itertools.count()

    def now():
        call = next(calls)
        return true() + (0 if call < 100 else 86_400 if call < 400 else -86_400)

    time.time = now
