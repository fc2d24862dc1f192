"""Scores of networks whose answers are known in advance."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.curricula import Depth
from cgar_jax.evaluation import Evaluator, accuracy_by_difficulty
from cgar_jax.evaluation.accuracy import first_halting_steps
from cgar_jax.evaluation.evaluator import join
from cgar_jax.losses import IGNORE_LABEL
from cgar_jax.mesh import make_mesh
from cgar_jax.models import ModelParams, Outputs
from cgar_jax.recursion import HaltingRule, Reasoner, correctness

CELLS = 4
PARAMS = ModelParams({}, jnp.zeros((1, 1)))


class SecondThought(nn.Module):
    """Answers 0 everywhere after the first supervision step, then 1, and then halts.

    With depth (1, 1) its answer state is 2 after one step and 7 after two.
    """

    state_shape = (CELLS, 1)
    batch_axis = 0
    num_states = 2
    num_networks = 1
    num_hypotheses = 1
    dtype = "float32"

    def embed(self, inputs, puzzle_rows):
        """Embeds every question as zeros."""
        return jnp.zeros((*inputs.shape, 1))

    def network(self, h):
        """Counts its calls."""
        return h + 1

    def heads(self, y):
        """Answers 1 and halts once the state exceeds 3."""
        sure = y[..., 0] - 3
        return Outputs(jnp.stack([jnp.zeros_like(sure), sure], -1), sure[:, 0], sure[:, 0])

    def initial_state(self, keys, hypotheses):
        """Begins at zero."""
        return jnp.zeros(1), jnp.zeros(1)


class SoonerOrLater(SecondThought):
    """Halts at step 1, 2, 3, 4 or never for inputs of 4, 0, -2, -3 or -4.

    Its answer is 1 only for a short while after halting, and 0 before and later.
    """

    def embed(self, inputs, puzzle_rows):
        """Embeds a question as half its input."""
        return inputs[..., None] / 2

    def heads(self, y):
        """Answers 1 while the state is between 3 and 7."""
        sure = y[..., 0] - 3
        right = jnp.where((sure > 0) & (sure <= 4), 1.0, -1.0)
        return Outputs(jnp.stack([jnp.zeros_like(sure), right], -1), sure[:, 0], sure[:, 0])


def reasoner(model, steps, mesh):
    return Reasoner(model, Depth(1, 1), HaltingRule(steps), mesh)


def sooner_or_later(inputs, devices, steps=4):
    """Returns an evaluator and examples with these inputs; one more does not count."""
    mesh = make_mesh({"data": devices}, 8)
    batch = examples(*[1] * len(inputs), IGNORE_LABEL)
    batch["inputs"][:] = np.array([*inputs, 0])[:, None]
    return Evaluator(reasoner(SoonerOrLater(), steps, mesh), 4), batch


def examples(*labels):
    rows = np.asarray(labels).reshape(len(labels), -1) * np.ones((1, CELLS), int)
    return {
        "inputs": np.zeros_like(rows),
        "labels": rows,
        "puzzle_identifiers": np.zeros(len(rows), int),
    }


def evaluate(batch, batch_size=4, steps=3, devices=1, accepts=None):
    mesh = make_mesh({"data": devices}, 8)
    evaluator = Evaluator(reasoner(SecondThought(), steps, mesh), batch_size)
    return evaluator(PARAMS, batch, accepts)


def test_exact_accuracy_is_reported_for_every_supervision_step():
    scores = evaluate(examples(0, 1, 1, 1))
    assert scores["exact_accuracy_by_step"] == [0.25, 0.75, 0.75]
    assert scores["exact_accuracy"] == 0.75


def test_cell_accuracy_counts_single_cells():
    scores = evaluate(examples([0, 0, 0, 1], [1, 1, 1, 1]))
    assert scores["cell_accuracy_by_step"] == [0.375, 0.625, 0.625]
    assert scores["exact_accuracy"] == 0.5


def test_halting_accuracy_compares_the_halting_logit_with_solved():
    assert evaluate(examples(0, 1, 1, 1))["halting_accuracy"] == 0.75


def test_the_mean_halting_step_averages_the_first_positive_logits():
    assert evaluate(examples(0, 1))["mean_halting_step"] == 2.0


def test_an_example_that_never_halts_counts_as_the_last_step():
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


def test_a_set_smaller_than_a_batch_is_one_batch_of_its_own_size(monkeypatch):
    seen = []
    embed = SecondThought.embed
    monkeypatch.setattr(
        SecondThought, "embed", lambda model, *a: seen.append(len(a[0])) or embed(model, *a)
    )
    scores = evaluate(examples(0, 1, 1), batch_size=768)
    assert scores["num_examples"] == 3
    assert set(seen) == {3}


@pytest.mark.parametrize("devices", [1, 8])
@given(inputs=st.lists(st.sampled_from([4, 0, -2, -3, -4]), min_size=1, max_size=20))
def test_scores_until_halted_are_those_of_the_steps_at_which_puzzles_halt(inputs, devices):
    evaluator, batch = sooner_or_later(inputs, devices)
    every_step = join(evaluator.predict(PARAMS, batch))
    ends = np.minimum(first_halting_steps(every_step.halts), 4)[: len(inputs)]
    exact, halts = (
        column[ends - 1, np.arange(len(inputs))] for column in (every_step.exact, every_step.halts)
    )
    scores = evaluator.until_halted(PARAMS, batch)
    assert scores["num_examples"] == len(inputs)
    assert scores["exact_accuracy"] == scores["cell_accuracy"] == pytest.approx(exact.mean())
    assert scores["halting_accuracy"] == pytest.approx((exact == halts).mean())
    assert scores["mean_halting_step"] == pytest.approx(ends.mean())


def test_a_puzzle_that_halts_gives_its_slot_to_the_next(monkeypatch):
    evaluator, batch = sooner_or_later([4] * 39, 1)
    seen = []
    heads = SoonerOrLater.heads
    count = functools.partial(jax.debug.callback, lambda: seen.append(1))
    monkeypatch.setattr(SoonerOrLater, "heads", lambda model, y: count() or heads(model, y))
    evaluator.until_halted(PARAMS, batch)
    # Forty puzzles, ten at a time: one step each, except for one that halts at its second step.
    jax.effects_barrier()
    assert len(seen) == 5


def test_an_empty_set_is_an_error():
    empty = {name: column[:0] for name, column in examples(1).items()}
    with pytest.raises(ValueError, match="empty"):
        evaluate(empty)
    with pytest.raises(ValueError, match="empty"):
        sooner_or_later([], 1)[0].until_halted(PARAMS, empty)


def test_an_example_in_which_no_cell_counts_is_not_solved():
    right = correctness(jnp.zeros((1, CELLS, 2)), jnp.full((1, CELLS), IGNORE_LABEL))
    assert not right.exact.any()


def test_an_answer_other_than_the_labeled_one_can_be_accepted():
    def accepts(inputs, answers):
        assert (answers == 1).all()
        return np.arange(len(answers)) < 2

    assert evaluate(examples(0, 0, 1), accepts=accepts)["accepted_accuracy"] == 2 / 3
    assert "accepted_accuracy" not in evaluate(examples(0, 0, 1))


def test_answers_are_accepted_with_their_own_questions():
    batch = examples(0, 0, 0, 0, 0)
    batch["inputs"] = np.arange(5)[:, None] * np.ones((1, CELLS), int)

    def accepts(inputs, answers):
        return inputs[:, 0] >= 3

    assert evaluate(batch, batch_size=2, accepts=accepts)["accepted_accuracy"] == 2 / 5


def test_accuracy_is_reported_by_difficulty():
    batch = examples(1, 0, 1, 0) | {"difficulty": np.array([3.0, 1.0, 4.0, 2.0])}
    assert [
        (group["low"], group["exact_accuracy"])
        for group in evaluate(batch)["exact_accuracy_by_difficulty"]
    ] == [(1, 0), (2, 0), (3, 1), (4, 1)]


def test_deciles_have_a_tenth_each():
    difficulty = np.random.default_rng(0).permutation(1000).astype(float)
    groups = accuracy_by_difficulty(difficulty >= 500, difficulty)
    assert [group["num_examples"] for group in groups] == [100] * 10
    assert [group["exact_accuracy"] for group in groups] == [0.0] * 5 + [1.0] * 5
    assert [(group["low"], group["high"]) for group in groups][:2] == [(0, 99), (100, 199)]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_examples_of_one_difficulty_stay_together(values):
    difficulty = np.array(values, float)
    groups = accuracy_by_difficulty(np.ones(len(values), bool), difficulty)
    assert sum(group["num_examples"] for group in groups) == len(values)
    ends = [(group["low"], group["high"]) for group in groups]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))


def test_answers_and_halting_probabilities_come_in_the_order_of_the_examples():
    mesh = make_mesh({"data": 1}, 8)
    evaluator = Evaluator(reasoner(SecondThought(), 2, mesh), 2)
    parts = list(evaluator.predict(PARAMS, examples(0, 1, 1)))
    assert [part.answers.shape for part in parts] == [(2, CELLS), (1, CELLS)]
    assert [part.exact[-1].tolist() for part in parts] == [[False, True], [True]]
    probabilities = np.concatenate([part.halting_probabilities for part in parts])
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-4.0)), rtol=1e-6)
