"""Reads sets of ARC puzzles in the layout of the Kaggle competition, and checks them.

`arc-agi_SET_challenges.json` maps names to `{"train": [{"input", "output"}, ...], "test":
[{"input"}, ...]}`, and `arc-agi_SET_solutions.json` maps them to the outputs of the tests.
"""

import json
import pathlib
import reprlib
from typing import Any, NamedTuple

import numpy as np

from cgar_jax.data.families.arc.grids import grid_fault
from cgar_jax.data.records import report_bad
from cgar_jax.data.text_files import read_text

Pair = tuple[np.ndarray, np.ndarray]
"""Input and output grid: colors, uint8 `[height, width]` each."""


class ArcPuzzle(NamedTuple):
    """One ARC puzzle: demonstrations of a hidden transformation, and tests with their outputs."""

    name: str
    demonstrations: list[Pair]
    tests: list[Pair]


def set_paths(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Returns the paths of the challenges and of the solutions of a set.

    Raises:
      FileNotFoundError: if a file does not exist; the message lists the sets in the folder.
    """
    paths = [folder / f"arc-agi_{name}_{part}.json" for part in ("challenges", "solutions")]
    for path in paths:
        if not path.is_file():
            sets = sorted(
                found.name.removeprefix("arc-agi_").removesuffix("_challenges.json")
                for found in folder.glob("arc-agi_*_challenges.json")
            )
            raise FileNotFoundError(
                f"there is no file {path}; sets in {folder}: {', '.join(sets) or 'none'}; "
                "expected the JSON files of the ARC Prize competition, two for each set; "
                "benchmarks/fetch_arc.py writes them"
            )
    return paths


def read_set(folder: pathlib.Path, name: str, skip_bad: bool = False) -> list[ArcPuzzle]:
    """Reads the puzzles of one set in the order of the file.

    Args:
      folder: folder of the JSON files.
      name: name of the set, such as `"training"` or `"evaluation2"`.
      skip_bad: whether bad puzzles are skipped with a warning instead of raising an error.

    Raises:
      FileNotFoundError: if a file does not exist.
      ValueError: if puzzles are malformed or have no solution; the message names file and puzzles.
    """
    path, solutions_path = set_paths(folder, name)
    challenges, solutions = _read(path), _read(solutions_path)
    puzzles, errors = [], []
    for puzzle, challenge in challenges.items():
        try:
            puzzles.append(_puzzle(puzzle, challenge, solutions, solutions_path))
        except ValueError as error:
            errors.append(f"{path}, puzzle {puzzle!r}: {error}")
    report_bad(path, "puzzles", errors, skip_bad)
    return puzzles


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        text = read_text(path, "JSON")
        content = json.loads(text, object_pairs_hook=_each_key_once)
    except _RepeatedKey as error:
        raise ValueError(f"{path}: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: lists are nested too deeply; expected grids") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}; expected JSON") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: a JSON {type(content).__name__}; expected an object with a key per puzzle"
        )
    return content


class _RepeatedKey(ValueError):
    """A JSON object has two values for one key, of which Python would drop the first."""


def _each_key_once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    content = {}
    for key, value in items:
        if key in content:
            raise _RepeatedKey(f"the key {key!r} occurs twice; expected each key once")
        content[key] = value
    return content


def _puzzle(
    name: str, challenge: Any, solutions: dict[str, Any], solutions_path: pathlib.Path
) -> ArcPuzzle:
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON allows
        raise ValueError("its name is not valid Unicode; rename the puzzle") from None
    if name not in solutions:
        raise ValueError(f"no solution in {solutions_path}; expected the outputs of its tests")
    try:
        demonstrations = [(pair["input"], pair["output"]) for pair in challenge["train"]]
        inputs = [pair["input"] for pair in challenge["test"]]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f'{error!r}; expected {{"train": [{{"input": ..., "output": ...}}, ...], '
            '"test": [{"input": ...}, ...]}'
        ) from None
    outputs = solutions[name]
    if not isinstance(outputs, list) or len(outputs) != len(inputs):
        found = len(outputs) if isinstance(outputs, list) else reprlib.repr(outputs)
        raise ValueError(f"{found} solutions in {solutions_path}; expected {len(inputs)}")
    if not demonstrations or not inputs:
        raise ValueError("no demonstration or no test; expected at least one of each")
    tests = list(zip(inputs, outputs, strict=True))
    by_label = {f"demonstration {n}": pair for n, pair in enumerate(demonstrations, 1)}
    by_label |= {f"test {n}": pair for n, pair in enumerate(tests, 1)}
    pairs = [_pair(label, *grids) for label, grids in by_label.items()]
    _check_consistent(by_label)
    return ArcPuzzle(name, pairs[: len(demonstrations)], pairs[len(demonstrations) :])


def _pair(label: str, *grids: Any) -> Pair:
    for name, grid in zip(("input", "output"), grids, strict=True):
        if fault := grid_fault(grid):
            raise ValueError(f"the {name} of {label} {fault}")
    return tuple(np.array(grid, np.uint8) for grid in grids)


def _check_consistent(pairs: dict[str, tuple[Any, Any]]) -> None:
    """Checks that no input has two different outputs."""
    first: dict[str, str] = {}  # label of the first pair with each input
    for label, (question, answer) in pairs.items():
        earlier = first.setdefault(str(question), label)
        if pairs[earlier][1] != answer:
            raise ValueError(
                f"{earlier} and {label} have the same input but different outputs; expected one "
                "output per input"
            )
