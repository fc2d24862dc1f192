"""The options of the recursion that matter only across the exits and steps of a training run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.losses import softmax_cross_entropy_loss
from cgar_jax.models import TRM
from cgar_jax.recursion import Depth, HaltingRule, Question, RecursionOptions, supervision_step
from cgar_jax.training.deep_supervision import DeepSupervision
from tests.training import problem

BATCH = 5
MODEL = TRM(
    *(problem.VOCABULARY, problem.CELLS),
    hidden_size=16,
    num_layers=1,
    inner_size_multiple=16,
    puzzle_embedding_tokens=1,
)
EXAMPLES = {name: jnp.asarray(column) for name, column in problem.examples(BATCH).items()}
ROWS = jnp.zeros((BATCH, 16))
VARIABLES = MODEL.init(jax.random.key(0), EXAMPLES["inputs"], jnp.zeros(BATCH, jnp.int32))


def supervision(**options):
    rule, loss = HaltingRule(), softmax_cross_entropy_loss
    return DeepSupervision(MODEL, rule, loss, 0.5, options=RecursionOptions(**options))


def first_slots(supervision):
    empty = supervision.initial_slots(EXAMPLES)
    return supervision.refill(empty, EXAMPLES, VARIABLES, jax.random.key(1))


def gradient_of_last_exit(depth, **options):
    own = supervision(**options)

    def loss(params):
        output = own.forward(VARIABLES | {"params": params}, ROWS, first_slots(own), depth)
        return output.losses["answer"].reshape(BATCH, -1)[:, -1].sum()

    return jax.flatten_util.ravel_pytree(jax.jit(jax.grad(loss))(VARIABLES["params"]))[0]


def test_joined_exits_are_differentiated_like_one_recursion():
    joined = gradient_of_last_exit(Depth(1, 3, exits=(1, 2, 3)), joins_exits=True)
    whole = gradient_of_last_exit(Depth(1, 3), gradient_cycles=0)
    np.testing.assert_allclose(joined, whole, rtol=1e-3, atol=1e-5)


def test_exits_are_not_joined_by_default():
    apart = gradient_of_last_exit(Depth(1, 3, exits=(1, 2, 3)))
    last_cycle = gradient_of_last_exit(Depth(1, 3))
    np.testing.assert_allclose(apart, last_cycle, rtol=1e-3, atol=1e-5)


def test_an_example_can_start_at_its_embedded_question():
    own = supervision(starts_at_question=True)
    slots = first_slots(own)
    x = MODEL.apply(VARIABLES, EXAMPLES["inputs"], ROWS, method="embed")
    question = Question(EXAMPLES["inputs"], ROWS)
    expected, _ = supervision_step(MODEL, VARIABLES, question, (x, x), Depth(1, 1))
    found = own.forward(VARIABLES, ROWS, slots, Depth(1, 1)).states
    np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-5)


def test_later_steps_continue_from_the_carried_states():
    slots = first_slots(supervision())
    later = slots._replace(supervision_step=slots.supervision_step + 1)
    found, expected = (
        supervision(starts_at_question=at_question).forward(VARIABLES, ROWS, later, Depth(1, 1))
        for at_question in (True, False)
    )
    np.testing.assert_array_equal(np.stack(found.states), np.stack(expected.states))


def test_a_recursion_that_starts_at_the_question_needs_to_know_who_begins():
    states = (jnp.zeros((BATCH, *MODEL.state_shape)),) * 2
    question, options = (
        Question(EXAMPLES["inputs"], ROWS),
        RecursionOptions(starts_at_question=True),
    )
    with pytest.raises(ValueError, match="begins"):
        supervision_step(MODEL, VARIABLES, question, states, Depth(1, 1), options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recursion__joins_exits": True}, "needs a curriculum with several exits"),
        (
            {"recursion__starts_at_question": True, "model__num_hypotheses": 2},
            "set model.num_hypotheses to 1",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        problem.build(**changes)
