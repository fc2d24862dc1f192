"""Random ARC puzzles, their files, and a data config for them."""

import json

import numpy as np

from cgar_jax.data.families.arc import ArcPuzzle

SIZE = 6


def random_grid(rng, size=SIZE):
    return rng.integers(0, 10, rng.integers(1, size + 1, 2)).astype(np.uint8)


def random_pairs(rng, num):
    return [(random_grid(rng), random_grid(rng)) for _ in range(num)]


def puzzle(seed=0, name="0a"):
    rng = np.random.default_rng(seed)
    return ArcPuzzle(name, random_pairs(rng, 3), random_pairs(rng, 1))


def as_json(pairs):
    return [{"input": a.tolist(), "output": b.tolist()} for a, b in pairs]


def write_set(folder, name, puzzles):
    """Writes a set and returns its challenges and solutions, so that a test can damage them."""
    challenges = {
        p.name: {
            "train": as_json(p.demonstrations),
            "test": [{"input": pair["input"]} for pair in as_json(p.tests)],
        }
        for p in puzzles
    }
    solutions = {p.name: [output.tolist() for _, output in p.tests] for p in puzzles}
    write_json(folder, name, challenges, solutions)
    return challenges, solutions


def write_json(folder, name, challenges, solutions):
    (folder / f"arc-agi_{name}_challenges.json").write_text(json.dumps(challenges))
    (folder / f"arc-agi_{name}_solutions.json").write_text(json.dumps(solutions))


def config(folder, **changes):
    return {
        "name": "arc",
        "source": str(folder),
        "sets": ("training", "evaluation"),
        "size": SIZE,
        "num_validation": 0,
        "num_variants": 20,
        "augment": True,
        "cache_dir": str(folder / "cache"),
        **changes,
    }
