"""Several hypotheses per example: the best one learns, and its answer becomes that of all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.losses import softmax_cross_entropy_loss
from cgar_jax.models import TRM
from cgar_jax.recursion import Depth, HaltingRule, Question
from cgar_jax.training.deep_supervision import DeepSupervision
from tests.training import problem

K, BATCH = 3, 30
MODEL = TRM(
    *(problem.VOCABULARY, problem.CELLS),
    hidden_size=16,
    num_layers=1,
    inner_size_multiple=16,
    puzzle_embedding_tokens=1,
    num_hypotheses=K,
)
SUPERVISION = DeepSupervision(MODEL, HaltingRule(), softmax_cross_entropy_loss, 0.5)
DEPTH = Depth(1, 1)
EXAMPLES = {name: jnp.asarray(column) for name, column in problem.examples(BATCH).items()}
ROWS = jnp.zeros((BATCH, 16))


@pytest.fixture(scope="module")
def variables():
    return MODEL.init(jax.random.key(0), EXAMPLES["inputs"], jnp.zeros(BATCH, jnp.int32))


@pytest.fixture(scope="module")
def slots(variables):
    empty = SUPERVISION.initial_slots(EXAMPLES)
    return SUPERVISION.refill(empty, EXAMPLES, variables, jax.random.key(1))


def losses_of_each(variables, slots):
    """The answer losses of all hypotheses, each trained as the only one, `[batch, K]`."""
    alone = DeepSupervision(
        MODEL.clone(num_hypotheses=1), HaltingRule(), softmax_cross_entropy_loss, 0.5
    )
    found = []
    for number in range(K):
        states = tuple(state[:, number] for state in slots.states)
        one = slots._replace(states=states)
        found.append(alone.forward(variables, ROWS, one, DEPTH).losses["answer"])
    return np.stack(found, axis=1)


def test_hypotheses_begin_with_the_same_answer_and_different_latent_states(slots):
    y, z = slots.states
    assert y.shape == z.shape == (BATCH, K, *MODEL.state_shape)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:1, :1], y.shape))
    assert np.abs(np.diff(z, axis=1)).max(axis=(0, 2, 3)).min() > 0.1


def test_the_loss_is_the_smallest_of_all_hypotheses(variables, slots):
    found = SUPERVISION.forward(variables, ROWS, slots, DEPTH).losses["answer"]
    each = losses_of_each(variables, slots)
    np.testing.assert_allclose(found, each.min(axis=1), rtol=1e-5)
    assert len(set(each.argmin(axis=1))) > 1  # or the test would compare one hypothesis


def test_hypotheses_that_are_not_the_best_have_no_gradient(variables, slots):
    def loss(z):
        before = slots._replace(states=(slots.states[0], z))
        question = Question(EXAMPLES["inputs"], ROWS)
        _, _, terms = SUPERVISION.supervise(variables, question, before, DEPTH)
        return sum(term.sum() for term in terms.values())

    gradient = np.abs(jax.grad(loss)(slots.states[1])).sum(axis=(2, 3))
    best = losses_of_each(variables, slots).argmin(axis=1)
    np.testing.assert_array_equal(gradient > 0, np.eye(K, dtype=bool)[best])


def test_after_a_step_all_hypotheses_have_the_best_answer_and_their_own_latent_state(
    variables, slots
):
    y, z = SUPERVISION.forward(variables, ROWS, slots, DEPTH).states
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert np.abs(np.diff(z, axis=1)).max(axis=(0, 2, 3)).min() > 1e-3


def test_the_order_of_the_hypotheses_does_not_matter(variables, slots):
    order = np.array([2, 0, 1])
    moved = slots._replace(states=tuple(state[:, order] for state in slots.states))
    here, there = (SUPERVISION.forward(variables, ROWS, each, DEPTH) for each in (slots, moved))
    np.testing.assert_allclose(here.losses["answer"], there.losses["answer"], rtol=1e-5)
    np.testing.assert_allclose(here.states[1][:, order], there.states[1], rtol=1e-4, atol=1e-5)


def test_rollouts_of_a_puzzle_begin_with_different_hypotheses(variables):
    first, second = (
        MODEL.apply(variables, None, jnp.full(2, number), method="initial_state")
        for number in range(2)
    )
    np.testing.assert_array_equal(first[0], second[0])
    assert np.abs(first[1] - second[1]).max() > 0.1


def test_the_cost_counts_every_hypothesis():
    assert SUPERVISION.network_calls(Depth(2, 3)) == 3 * 9
    assert SUPERVISION.calls_with_gradient(Depth(2, 3)) == 3 * 3
