"""The carry of deep supervision: which examples halt and which slots are refilled."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import recursion
from cgar_jax.models import Outputs
from cgar_jax.recursion import Carry, HaltingRule, initial_carry, replace_halted

BATCH, LENGTH, HIDDEN = 6, 3, 4
RULE = HaltingRule(max_supervision_steps=4, exploration_probability=0.0)
EXPLORING = dataclasses.replace(RULE, exploration_probability=1.0)
ZEROS = jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)


def examples(value):
    return {"inputs": jnp.full((BATCH, LENGTH), value), "difficulty": jnp.full(BATCH, value / 2)}


def outputs(halt_logits, continue_logits=0.0):
    halt_logits = jnp.broadcast_to(jnp.asarray(halt_logits, jnp.float32), (BATCH,))
    return Outputs(jnp.zeros((BATCH, LENGTH, 2)), halt_logits, continue_logits + 0 * halt_logits)


def fresh_carry(value=1):
    carry = initial_carry(examples(0), tuple(jnp.zeros((2, BATCH, LENGTH, HIDDEN))))
    return replace_halted(carry, examples(value), (jnp.ones(HIDDEN), -jnp.ones(HIDDEN)))


def advance(carry, logits, rule=RULE, seed=0):
    y, z = carry.states
    return recursion.advance(carry, (y + 1, z - 1), outputs(logits), rule, jax.random.key(seed))


def test_the_first_step_fills_every_slot():
    carry = fresh_carry(value=7)
    chex.assert_trees_all_equal(carry.examples, examples(7))
    assert not carry.halted.any()


def test_a_fresh_example_begins_with_the_initial_states_and_no_steps():
    carry = fresh_carry()
    y, z = carry.states
    np.testing.assert_array_equal(y, np.ones((BATCH, LENGTH, HIDDEN)))
    np.testing.assert_array_equal(z, -np.ones((BATCH, LENGTH, HIDDEN)))
    np.testing.assert_array_equal(carry.supervision_step, np.zeros(BATCH))


def test_only_halted_slots_are_refilled():
    halted = jnp.arange(BATCH) % 2 == 0
    before = fresh_carry(1)._replace(halted=halted, supervision_step=jnp.full(BATCH, 2))
    after = replace_halted(before, examples(9), ZEROS)
    np.testing.assert_array_equal(after.examples["inputs"][:, 0], np.where(halted, 9, 1))
    np.testing.assert_array_equal(after.states[0][:, 0, 0], np.where(halted, 0, 1))
    np.testing.assert_array_equal(after.supervision_step, np.where(halted, 0, 2))


def test_a_positive_halting_logit_halts_and_a_negative_one_does_not():
    logits = jnp.linspace(-1, 1, BATCH)
    np.testing.assert_array_equal(advance(fresh_carry(), logits).halted, logits > 0)


def test_the_last_supervision_step_halts_whatever_the_logit():
    carry = fresh_carry()._replace(supervision_step=jnp.arange(BATCH))
    np.testing.assert_array_equal(advance(carry, -1.0).halted, np.arange(BATCH) + 1 >= 4)


def test_outside_training_an_example_halts_when_confident_or_out_of_steps():
    logits, steps = np.array([1.0, -1.0, -1.0]), np.array([1, 1, 4])
    np.testing.assert_array_equal(RULE.halts(logits, steps), [True, False, True])


def test_a_step_is_counted_for_every_slot():
    carry = fresh_carry()._replace(supervision_step=jnp.arange(BATCH))
    np.testing.assert_array_equal(advance(carry, 0.0).supervision_step, np.arange(BATCH) + 1)


def test_no_gradient_flows_through_the_carried_states():
    carry = fresh_carry()

    def total(y):
        after = recursion.advance(carry, (y, y), outputs(0.0), RULE, jax.random.key(0))
        return after.states[0].sum() + after.states[1].sum()

    y, _ = carry.states
    np.testing.assert_array_equal(jax.grad(total)(y), np.zeros_like(y))


def test_exploration_draws_a_minimum_of_at_least_two_steps():
    assert not advance(fresh_carry(), 1.0, EXPLORING).halted.any()


@given(seed=st.integers(0, 2**31 - 1))
def test_exploration_never_outlasts_the_last_step(seed):
    carry = fresh_carry()._replace(supervision_step=jnp.full(BATCH, 3))
    assert advance(carry, 1.0, EXPLORING, seed).halted.all()


def test_exploration_happens_as_often_as_its_probability_says():
    batch = 20_000
    carry = Carry(
        states=tuple(jnp.zeros((2, batch, 1, 1))),
        seeds=jnp.zeros(batch, jnp.uint32),
        supervision_step=jnp.zeros(batch, jnp.int32),
        halted=jnp.zeros(batch, bool),
        examples={},
    )
    rule = HaltingRule(16, 0.1)
    sure = Outputs(jnp.zeros((batch, 1, 2)), jnp.ones(batch), jnp.zeros(batch))
    after = recursion.advance(carry, carry.states, sure, rule, jax.random.key(0))
    assert 1 - float(after.halted.mean()) == pytest.approx(0.1, abs=0.01)


def test_with_one_supervision_step_every_example_halts():
    rule = HaltingRule(max_supervision_steps=1, exploration_probability=1.0)
    assert advance(fresh_carry(), -1.0, rule).halted.all()


def test_fresh_examples_of_another_shape_are_refused():
    with pytest.raises(AssertionError):
        replace_halted(fresh_carry(), {"inputs": jnp.zeros((BATCH, 5))}, ZEROS)


def test_q_values_halt_where_halting_is_worth_more_than_continuing():
    rule = HaltingRule(4, 0.0, "q_values")
    carry, values = fresh_carry(), outputs(jnp.linspace(-1, 1, BATCH), continue_logits=0.5)
    after = recursion.advance(carry, carry.states, values, rule, jax.random.key(0))
    np.testing.assert_array_equal(after.halted, jnp.linspace(-1, 1, BATCH) > 0.5)


def test_examples_leave_at_random_as_often_as_the_probability_says():
    rule = HaltingRule(16, 0.5, "random", leave_probability=0.2)
    sure, first = jnp.ones(20_000), jnp.ones(20_000, jnp.int32)
    halted = rule.halts_in_training(sure, first, jax.random.key(0))
    assert float(halted.mean()) == pytest.approx(0.2, abs=0.01)
    assert not rule.halts(sure, first).any()


def test_the_criterion_never_waits_for_the_last_step():
    rule = HaltingRule(4, 0.0, "never")
    assert not advance(fresh_carry(), 5.0, rule).halted.any()
    assert advance(
        fresh_carry()._replace(supervision_step=jnp.full(BATCH, 3)), 5.0, rule
    ).halted.all()


def test_an_unknown_criterion_is_refused():
    with pytest.raises(ValueError, match="did you mean 'q_values'"):
        HaltingRule(criterion="q_value")
