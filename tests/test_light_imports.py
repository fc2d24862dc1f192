"""The rooms that other projects reuse need only the libraries of the base install."""

import ast
import functools
import importlib
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from cgar_jax.commands import cli

PACKAGE = pathlib.Path(__file__).parents[1] / "cgar_jax"
LIBRARIES = {"chex", "jax", "numpy", "optax", "rax"}
ROOMS = {
    "_core": LIBRARIES,
    "contrib": LIBRARIES,
    "curricula": LIBRARIES,
    "layers": LIBRARIES | {"flax"},
    "losses": LIBRARIES,
    "metrics": LIBRARIES,
    "optimizers": LIBRARIES,
    "sampling": LIBRARIES,
    "scores": LIBRARIES,
    "weighting": LIBRARIES,
}
REUSABLE = set(ROOMS) - {"_core", "contrib"}
every_room = pytest.mark.parametrize("room", ROOMS)

# After the allowed libraries and whatever they load, every further library fails to import.
PROGRAM = """
import sys, {libraries}

loaded = set(sys.modules)
importable = {{name.split(".")[0] for name in loaded}} | set(sys.stdlib_module_names)


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in importable | {{"cgar_jax"}}:
            raise ImportError(name + " is not in the base install")


sys.meta_path.insert(0, Refuse())
import cgar_jax.{room}

print(*set(sys.modules) - loaded)
"""


@functools.cache
def modules_loaded_by(room):
    """The names of the modules that a room loads in addition to its libraries."""
    program = PROGRAM.format(room=room, libraries=", ".join(sorted(ROOMS[room])))
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@every_room
def test_a_room_loads_only_the_libraries_of_the_base_install(room):
    libraries = {name.split(".")[0] for name in modules_loaded_by(room)}
    assert libraries - ROOMS[room] - sys.stdlib_module_names == {"cgar_jax"}


@every_room
def test_a_room_names_only_the_libraries_of_the_base_install(room):
    named = set()
    for file in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                named.add(node.module.split(".")[0])
    assert named - sys.stdlib_module_names <= ROOMS[room] | {"cgar_jax"}


@every_room
def test_a_room_loads_no_other_room_but_the_core(room):
    ours = {name.split(".")[1] for name in modules_loaded_by(room) if name.startswith("cgar_jax.")}
    allowed = {"_core", room} | (REUSABLE if room == "contrib" else set())
    assert ours <= allowed


def test_importing_the_commands_defines_no_flags():
    for module in cli.COMMANDS.values():
        importlib.import_module(module)
    assert not [m for m in flags.FLAGS.flags_by_module_dict() if m.startswith("cgar_jax")]
