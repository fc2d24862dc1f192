"""The rooms that other projects reuse bring nothing heavy with them."""

import functools
import importlib
import subprocess
import sys

import pytest
from absl import flags

from cgar_jax.commands import cli

ROOMS = {
    "weighting": "jax, optax, chex",
    "curricula": "jax, optax, chex",
    "losses": "jax, optax, chex, rax",
}


@functools.cache
def brought_by(room):
    """The names of the modules that a room brings into a process that has what it may import."""
    program = (
        f"import sys, {ROOMS[room]}; before = set(sys.modules); "
        f"import cgar_jax.{room}; print(*set(sys.modules) - before)"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_library_but_those_it_may(room):
    libraries = {name.split(".")[0] for name in brought_by(room)}
    assert libraries - set(ROOMS[room].split(", ")) == {"cgar_jax"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_other_room(room):
    ours = [name.split(".")[1] for name in brought_by(room) if name.startswith("cgar_jax.")]
    assert {name for name in ours if not name.startswith("_")} == {room}


def test_importing_the_commands_defines_no_flags():
    for module in cli.COMMANDS.values():
        importlib.import_module(module)
    assert not [m for m in flags.FLAGS.flags_by_module_dict() if m.startswith("cgar_jax")]
