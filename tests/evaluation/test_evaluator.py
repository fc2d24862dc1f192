"""Scores, on a network whose every answer is known beforehand."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cgar_jax.curricula import Depth
from cgar_jax.evaluation import Evaluator, correctness
from cgar_jax.losses import IGNORE_LABEL
from cgar_jax.models import Outputs
from cgar_jax.training.mesh import make_mesh

CELLS = 4


class SecondThought(nn.Module):
    """Answers 0 everywhere at the first supervision step and 1 from the second on, and then halts.

    With depth (1, 1) its answer state is 2 after one step and 7 after two.
    """

    state_shape = (CELLS, 1)

    def embed(self, inputs, puzzle_rows):
        """Ignores the question."""
        return jnp.zeros((*inputs.shape, 1))

    def network(self, h):
        """Counts."""
        return h + 1

    def heads(self, y):
        """Changes its mind above 3."""
        sure = y[..., 0] - 3
        return Outputs(jnp.stack([jnp.zeros_like(sure), sure], -1), sure[:, 0], sure[:, 0])

    def initial_state(self):
        """From zero."""
        return jnp.zeros(1), jnp.zeros(1)


def examples(*labels):
    rows = np.asarray(labels).reshape(len(labels), -1) * np.ones((1, CELLS), int)
    return {
        "inputs": np.zeros_like(rows),
        "labels": rows,
        "puzzle_identifiers": np.zeros(len(rows), int),
    }


def evaluate(batch, batch_size=4, steps=3, devices=1):
    mesh = make_mesh({"data": devices}, 8)
    evaluator = Evaluator(SecondThought(), Depth(1, 1), steps, batch_size, mesh)
    return evaluator({}, jnp.zeros((1, 1)), batch)


def test_exact_accuracy_is_told_for_every_supervision_step():
    scores = evaluate(examples(0, 1, 1, 1))
    assert scores["exact_accuracy_by_step"] == [0.25, 0.75, 0.75]
    assert scores["exact_accuracy"] == 0.75


def test_cell_accuracy_counts_single_cells():
    scores = evaluate(examples([0, 0, 0, 1], [1, 1, 1, 1]))
    assert scores["cell_accuracy_by_step"] == [0.375, 0.625, 0.625]
    assert scores["exact_accuracy"] == 0.5


def test_halting_accuracy_compares_the_halting_logit_with_solved():
    assert evaluate(examples(0, 1, 1, 1))["halting_accuracy"] == 0.75


def test_mean_halting_step_is_the_first_with_a_positive_logit():
    assert evaluate(examples(0, 1))["mean_halting_step"] == 2.0


def test_an_example_that_never_halts_counts_with_the_last_step():
    assert evaluate(examples(0, 1), steps=1)["mean_halting_step"] == 1.0


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_size_of_the_batch_does_not_change_the_scores(batch_size):
    batch = examples(*[0, 1, 1] * 5)
    assert evaluate(batch, batch_size) == evaluate(batch, 15)


def test_eight_devices_score_like_one():
    batch = examples(*[0, 1, 1] * 5)
    assert evaluate(batch, devices=8) == evaluate(batch)


def test_cells_that_do_not_count_are_left_out():
    batch = examples([IGNORE_LABEL, 1, 1, 1], [IGNORE_LABEL, 0, 1, 1])
    scores = evaluate(batch)
    assert scores["exact_accuracy"] == 0.5
    assert scores["cell_accuracy"] == pytest.approx((1 + 2 / 3) / 2)


def test_examples_without_a_cell_that_counts_are_left_out():
    scores = evaluate(examples(1, IGNORE_LABEL))
    assert (scores["num_examples"], scores["exact_accuracy"]) == (1, 1.0)


def test_an_empty_set_is_an_error():
    empty = {name: column[:0] for name, column in examples(1).items()}
    with pytest.raises(ValueError, match="empty"):
        evaluate(empty)


def test_an_example_in_which_no_cell_counts_is_not_solved():
    right = correctness(jnp.zeros((1, CELLS, 2)), jnp.full((1, CELLS), IGNORE_LABEL))
    assert not right.exact.any()
