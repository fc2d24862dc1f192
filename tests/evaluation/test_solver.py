"""Solving many puzzles, with a network whose predictions are known in advance."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import experiment
from cgar_jax.curricula import Depth
from cgar_jax.data import rules_of
from cgar_jax.data.augmentation import draw_views
from cgar_jax.evaluation import RolloutOptions, Solver, SolverOptions
from cgar_jax.evaluation.rollout_accuracy import Record, accuracies, mean_steps_until, record
from cgar_jax.evaluation.solver import CHOICES, chosen_rollout, mean_residual
from cgar_jax.mesh import make_mesh
from cgar_jax.models import ModelParams, Outputs
from cgar_jax.recursion import HaltingRule, Reasoner, residual
from cgar_jax.training.state import averaged
from tests import fixtures
from tests.training import problem

EQR = fixtures.FOLDER / "eqr.npz"
CELLS, MOST = 2, 8
FRACTION = 2.0**-10  # scale of the question in the states; exact in float32 up to MOST steps
PARAMS = ModelParams({}, jnp.zeros((1, 1)))
ACCEPTED = lambda questions, answers: questions[:, 0] == answers[:, 0]  # noqa: E731


def response():
    """Yields the answer state after each step: the part from the network and the question's."""
    ones, question = np.zeros(2), np.zeros(2)  # y, z
    for _ in range(MOST):
        ones[1] += ones[0] + 1
        ones[0] += ones[1] + 1
        question[1] += question[0] + 1
        question[0] += question[1]
        yield ones[0], question[0]


ONES, QUESTION = (jnp.array(column, jnp.float32) for column in zip(*response(), strict=True))


class Counter(nn.Module):
    """Answers with the number of steps taken; halts when it equals the number in the question."""

    dtype = jnp.float32
    state_shape = (CELLS, 1)
    batch_axis = 0
    num_states = 2
    num_networks = 1
    num_hypotheses = 1

    def embed(self, inputs, puzzle_rows):
        """Embeds a question, which is a number of steps."""
        return FRACTION * inputs[..., None].astype(jnp.float32)

    def network(self, h):
        """Counts, so that with depth (1, 1) the states are those of `response`."""
        return h + 1

    def heads(self, y):
        """Reads both numbers from the state."""
        state = y[:, 0, 0]
        taken = (state[:, None] >= ONES).sum(1)
        asked = (state - ONES[taken - 1]) / (FRACTION * QUESTION[taken - 1])
        logits = jnp.broadcast_to((jnp.arange(16) == taken[:, None])[:, None], (len(y), CELLS, 16))
        halt = taken - asked + 0.5
        return Outputs(logits.astype(jnp.float32), halt, halt)

    def initial_state(self, keys, hypotheses):
        """Begins at zero."""
        return jnp.zeros(1), jnp.zeros(1)


def solver(verify=ACCEPTED, devices=1, **options):
    mesh = make_mesh({"data": devices}, 8)
    reasoner = Reasoner(Counter(), Depth(1, 1), HaltingRule(MOST), mesh)
    return Solver(reasoner, PARAMS, verify, SolverOptions(**options))


def asking(*steps):
    return np.array([[step] * CELLS for step in steps])


def steps_of(solutions):
    return [one.supervision_steps for one in solutions]


HARDNESS = st.lists(st.integers(1, MOST), min_size=1, max_size=20)


@given(HARDNESS, st.integers(1, 9), st.sampled_from(["verified", "halting"]))
def test_each_puzzle_takes_the_steps_that_it_needs_in_any_batch(hardness, batch_size, stop):
    found = solver(batch_size=batch_size, stop=stop)(asking(*hardness))
    assert steps_of(found) == hardness
    assert all(one.verified for one in found)


def test_with_stop_budget_no_puzzle_ends_early():
    found = solver(stop="budget")(asking(1, 3, MOST))
    assert steps_of(found) == [MOST] * 3
    assert [one.verified for one in found] == [False, False, True]


def test_a_puzzle_that_needs_more_than_the_budget_is_not_verified():
    found = solver(max_supervision_steps=3)(asking(2, 4))
    assert [one.verified for one in found] == [True, False]
    assert steps_of(found) == [2, 3]


def test_a_wrong_answer_that_the_halting_head_believes_is_not_verified():
    wrong = lambda questions, answers: np.zeros(len(answers), bool)  # noqa: E731
    (one,) = solver(wrong, stop="halting")(asking(2))
    assert (one.verified, one.supervision_steps) == (False, 2)
    assert one.halting_probability > 0.5


def test_without_a_verifier_the_halting_head_stops_puzzles_and_none_is_verified():
    found = solver(None)(asking(2, 5))
    assert steps_of(found) == [2, 5]
    assert not any(one.verified for one in found)


def test_easy_puzzles_are_yielded_before_hard_ones():
    order = [index for index, _ in solver(batch_size=4).each(asking(8, 1, 2, 1))]
    assert order == [1, 3, 2, 0]


def test_the_cost_of_a_large_file_does_not_depend_on_its_hardest_puzzle(monkeypatch):
    calls = []
    run = Reasoner.run
    monkeypatch.setattr(Reasoner, "run", lambda *a: calls.append(len(a[3].inputs)) or run(*a))
    solver(batch_size=8)(asking(*[1] * 64, MOST))
    # 65 puzzles take 64 + 8 steps; running all of them to the end would take 520 rows.
    assert sum(calls) <= 64 + MOST + 8


def test_eight_devices_solve_like_one():
    hardness = [3, 1, 8, 2, 2, 5, 1, 7, 4, 4]
    assert steps_of(solver(devices=8, batch_size=8)(asking(*hardness))) == hardness


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": "verifed"}, "did you mean 'verified'"),
        ({"choose": "best"}, "unknown choose 'best'"),
        ({"stop": "verified", "verify": None}, "needs a verifier"),
        ({"num_rollouts": 0}, "num_rollouts is 0; expected 1 or more"),
        ({"noise": -1.0}, "noise is -1.0; expected 0 or more"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        solver(**options)


RIGHT = np.array([False, False, True, False])
LOGITS = np.array([3.0, 1.0, 0.0, 2.0])
ANSWERS = np.array([[1, 1], [2, 2], [3, 3], [2, 2]])


RESIDUALS = np.array([2.0, 0.5, 1.0, np.inf])


@pytest.mark.parametrize("choose", CHOICES)
def test_a_verified_answer_is_chosen_first(choose):
    assert chosen_rollout(ANSWERS, LOGITS, RIGHT, RESIDUALS, choose) == 2


@pytest.mark.parametrize(("choose", "best"), [("halting", 0), ("majority", 3), ("residual", 1)])
def test_without_a_verified_answer_the_rule_decides(choose, best):
    assert chosen_rollout(ANSWERS, LOGITS, np.zeros(4, bool), RESIDUALS, choose) == best


def test_the_first_rollout_that_halts_ends_its_puzzle():
    hardness = [3, 1, 5]
    solve = solver(stop="first_halting", num_rollouts=2, noise=0.0)
    assert steps_of(solve(asking(*hardness))) == hardness


@pytest.mark.skipif(not EQR.exists(), reason=f"{EQR} does not exist")
def test_residuals_and_their_choice_are_those_of_eqr():
    with np.load(EQR) as arrays:
        logits, shape = arrays["select/logits"], arrays["select/shape"]
        scores, order = arrays["select/scores"], arrays["select/order"]
    puzzles, starts, _, window = shape
    moved = np.stack([residual(now, before) for before, now in itertools.pairwise(logits)], -1)
    found = mean_residual(moved[:, -window:]).reshape(puzzles, starts)
    np.testing.assert_allclose(found, scores.reshape(puzzles, starts), rtol=1e-5)
    for row, best in zip(found, order.reshape(puzzles, starts)[:, 0], strict=True):
        answers, nothing = np.zeros((starts, 1)), np.zeros(starts)
        assert chosen_rollout(answers, nothing, nothing, row, "residual") == best


def test_a_first_step_says_nothing_about_how_far_a_rollout_moves():
    assert mean_residual(np.array([np.inf, 1.0, 3.0])) == 2
    assert mean_residual(np.array([np.inf, np.inf])) == np.inf


@pytest.fixture(scope="module")
def puzzles():
    """A small untrained TRM with a random halting head, and questions for it."""
    experiment, _, state = problem.build()
    params = dict(state.ema_params)
    params["halting_head"] = jax.random.normal(jax.random.key(0), params["halting_head"].shape)
    return experiment, averaged(state._replace(ema_params=params)), problem.examples(6)


def rollouts_of(puzzles, batch_size, num_rollouts=3, noise=1.0, seed=0):
    experiment, params, examples = puzzles
    reasoner = dataclasses.replace(experiment.reasoner, depth=Depth(2, 1))
    options = RolloutOptions(num_rollouts, noise, batch_size, seed)
    return record(reasoner, params, examples, None, options).halt_logits


def test_noise_does_not_depend_on_the_batch(puzzles):
    np.testing.assert_allclose(rollouts_of(puzzles, 4), rollouts_of(puzzles, 2), atol=1e-5)


def test_the_first_rollout_has_no_noise(puzzles):
    noisy, plain = rollouts_of(puzzles, 2), rollouts_of(puzzles, 2, noise=0.0)
    np.testing.assert_allclose(noisy[..., 0], plain[..., 0], atol=1e-5)
    assert (np.abs(noisy - plain)[..., 1:] > 1e-4).all()


def test_another_seed_draws_other_noise(puzzles):
    one, other = rollouts_of(puzzles, 2), rollouts_of(puzzles, 2, seed=1)
    assert (np.abs(one - other)[..., 1:] > 1e-4).all()


def test_rollouts_on_symmetric_copies_are_those_of_the_copies():
    symmetries = rules_of("sudoku").symmetries(16)
    task = experiment.Task(problem.VOCABULARY, 16, num_puzzle_identifiers=3)
    built = experiment.build(problem.config(), task)
    params = averaged(built.initial_state())
    examples = problem.examples(5, cells=16)
    options = RolloutOptions(3, batch_size=2, symmetries=symmetries)
    found = record(built.reasoner, params, examples, None, options)

    views = draw_views(symmetries, 3, seed=0)
    copies = views.of(np.repeat(examples["inputs"][:, None], 3, axis=1))
    for number in range(3):
        of_copy = {**examples, "inputs": copies[:, number]}
        plain = record(built.reasoner, params, of_copy, None, RolloutOptions(batch_size=2))
        np.testing.assert_allclose(
            found.residuals[1:, :, number], plain.residuals[1:, :, 0], rtol=1e-4
        )
    assert np.abs(np.diff(found.residuals[1:], axis=-1)).min() > 0  # the copies differ


def random_record(random, steps, num, rollouts):
    shape = (steps, num, rollouts)
    answers = random.integers(3, size=shape)
    right = answers == 0
    accepted = right | (random.random(shape) < 0.1)
    return Record(right, accepted, random.normal(size=shape), answers, random.random(shape))


@given(st.integers(0, 2**32 - 1))
def test_more_rollouts_and_steps_never_solve_fewer_with_a_verifier(seed):
    found = random_record(np.random.default_rng(seed), 3, 5, 4)
    for steps in (1, 2, 3):
        for rollouts in (1, 2, 4):
            shares = accuracies(found, steps, rollouts)
            assert shares["verified"] >= shares["pass"] >= shares["halting"]
            assert shares["verified"] <= accuracies(found, 3, 4)["verified"]
            assert mean_steps_until(found.accepted, steps, rollouts) <= steps * rollouts


def test_with_one_rollout_all_choices_agree():
    shares = accuracies(random_record(np.random.default_rng(0), 2, 50, 4), 2, 1)
    assert shares["pass"] == shares["halting"] == shares["majority"] == shares["residual"]


def test_the_first_rollout_that_halts_gives_the_answer_of_that_step():
    # Rollout 1 halts at the first step, rollouts 0 and 2 at the second, puzzle 1 never.
    halts = np.array([[[-1, 2, -1], [-1, -1, -1]], [[9, -1, 1], [-1, -2, -3]]], float)
    right = np.array([[[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 0]]], bool)
    found = Record(right, right, halts, right.astype(int), np.zeros_like(halts))
    assert accuracies(found, 2, 3)["first_halting"] == 1.0
    assert accuracies(found, 1, 3)["first_halting"] == 0.5


def test_the_majority_outvotes_a_confident_rollout():
    answers = np.array([[[7, 5, 5]]])
    right = answers == 5
    found = Record(right, right, np.array([[[9.0, 0.0, 0.0]]]), answers, np.zeros((1, 1, 3)))
    shares = accuracies(found, 1, 3)
    assert (shares["majority"], shares["halting"], shares["pass"]) == (1.0, 0.0, 1.0)
