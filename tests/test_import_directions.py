"""Imports between the rooms of the package go one way, so that no circle can form."""

import ast
import functools
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "cgar_jax"
# Each room may import only from rooms in earlier rows.
ORDER = (
    {"_core"},
    {
        "curricula",
        "layers",
        "losses",
        "metrics",
        "optimizers",
        "sampling",
        "scores",
        "weighting",
    },
    {"contrib"},
    {"mesh", "progress"},
    {"data", "models"},
    {"recursion"},
    {"evaluation", "training"},
    {"config", "config_ranges", "config_values"},
    {"config_source"},
    {"experiment"},
    {"runs"},
    {"model_files"},
    {"planning", "reporting"},
    {"trained_model"},
    {"model_loading"},
    {"demo"},
    {"commands"},
)
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
# Only these files import modules of the package inside functions, for the reasons given.
LAZY = {
    "commands/cli.py": "only the command that is asked for is loaded",
    "commands/rollouts.py": "pictures need an extra",
    "data/__init__.py": "processes that generate puzzles start faster without JAX",
    "trained_model.py": "animations need an extra",
}


@functools.cache
def tree(file):
    return ast.parse((PACKAGE / file).read_text())


def files():
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def room_of(file):
    return pathlib.PurePath(file).with_suffix("").parts[0]


def imported_modules(node):
    """The full names of what an import statement may load from this package."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        names = []
    return [name for name in names if name.split(".")[0] == "cgar_jax"]


def imported_rooms(file):
    """The rooms that a file imports, other than its own."""
    parts = [
        name.split(".")[1]
        for node in ast.walk(tree(file))
        for name in imported_modules(node)
        if "." in name
    ]
    return {part for part in parts if part in LEVELS} - {room_of(file)}


def function_level_imports(file):
    """The modules of this package that a file imports inside functions."""
    return {
        name
        for function in ast.walk(tree(file))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        for name in imported_modules(node)
    }


ROOM_FILES = [file for file in files() if room_of(file) not in ("__init__", "__main__")]


def test_every_room_has_a_place_in_the_order():
    assert {room_of(file) for file in ROOM_FILES} == set(LEVELS)


@pytest.mark.parametrize("file", ROOM_FILES)
def test_a_file_imports_only_rooms_that_come_before_its_own(file):
    level = LEVELS[room_of(file)]
    wrong = {room for room in imported_rooms(file) if LEVELS[room] >= level}
    assert not wrong


@pytest.mark.parametrize("file", files())
def test_a_file_imports_the_package_inside_functions_only_for_a_reason(file):
    assert bool(function_level_imports(file)) == (file in LAZY)


@pytest.mark.parametrize("file", files())
def test_a_file_imports_by_full_names(file):
    relative = [n for n in ast.walk(tree(file)) if isinstance(n, ast.ImportFrom) and n.level]
    assert relative == []
