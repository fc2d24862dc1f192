"""The pieces of a config."""

import numpy as np

from cgar_jax import experiment
from tests.training import problem


def drawn(examples, **changes):
    task = experiment.Task(problem.VOCABULARY, problem.CELLS, num_puzzle_identifiers=3)
    return experiment.build(problem.config(**changes), task).drawn_for_validation(examples)


def test_the_examples_for_validation_are_drawn_once_from_all_of_the_split():
    examples = {"inputs": np.arange(400), "labels": -np.arange(400)}
    first, again, other = (
        drawn(examples, seed=seed, evaluation__num_examples=50) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first["inputs"], again["inputs"])
    assert set(first["inputs"]) != set(other["inputs"])
    assert len(set(first["inputs"])) == 50
    assert first["inputs"].max() > 300
    np.testing.assert_array_equal(first["labels"], -first["inputs"])


def test_a_small_validation_split_is_taken_whole_and_in_its_order():
    examples = {"inputs": np.arange(40)}
    found = drawn(examples, evaluation__num_examples=50)
    np.testing.assert_array_equal(found["inputs"], examples["inputs"])
