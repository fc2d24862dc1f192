"""The rooms that other projects reuse bring nothing heavy with them."""

import subprocess
import sys

import pytest


def modules_after(statement):
    """The names of the modules that are there after a statement in a new process."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def libraries(modules):
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("weighting", "jax, optax, chex"),
        ("curricula", "jax, optax, chex"),
        ("losses", "jax, optax, chex, rax"),
    ],
)
def test_a_room_imports_no_library_but_these(room, allowed):
    loaded = libraries(modules_after(f"import cgar_jax.{room}"))
    assert loaded - libraries(modules_after(f"import {allowed}")) == {"cgar_jax"}


@pytest.mark.parametrize("room", ["weighting", "curricula", "losses"])
def test_a_room_imports_no_other_room(room):
    ours = [n for n in modules_after(f"import cgar_jax.{room}") if n.startswith("cgar_jax.")]
    rooms = {name.split(".")[1] for name in ours}
    assert {name for name in rooms if not name.startswith("_")} == {room}
