"""Gradients by supervision step, against gradients taken one by one."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.curricula import Depth
from cgar_jax.data import Dataset
from cgar_jax.recursion import Question, supervision_step
from cgar_jax.reporting import gradients
from cgar_jax.reporting.gradients import GradientMoments
from cgar_jax.training.forward import example_losses
from cgar_jax.training.state import averaged
from tests.training import problem

STEPS, MINIBATCHES, DEPTH = 3, 4, Depth(1, 1)


@pytest.fixture(scope="module")
def setting():
    pieces, _, state = problem.build()
    examples = problem.examples()
    dataset = Dataset(
        examples, examples, examples, problem.VOCABULARY, problem.CELLS, 3, problem.reverse_some
    )
    return pieces, averaged(state), dataset


@pytest.fixture(scope="module")
def moments(setting):
    pieces, weights, dataset = setting
    return gradients.measure(pieces.train_step, DEPTH, weights, dataset, MINIBATCHES)


@pytest.fixture(scope="module")
def one_by_one(setting):
    """Every gradient on its own, float64 `[minibatches, steps, parameters]`."""
    pieces, weights, dataset = setting
    train_step = pieces.train_step

    @jax.jit
    def gradient(batch, *states):
        def loss(params):
            rows = weights.puzzle_table[batch["puzzle_identifiers"]]
            variables = weights.variables | {"params": params}
            question = Question(batch["inputs"], rows)
            after, outputs = supervision_step(pieces.model, variables, question, states, DEPTH)
            terms = example_losses(
                outputs, batch["labels"], train_step.answer_loss, train_step.halting_loss_weight
            )
            return terms["answer"].mean() + terms["halt"].mean(), after

        found, states = jax.grad(loss, has_aux=True)(weights.variables["params"])
        return jax.flatten_util.ravel_pytree(found)[0], states

    found = []
    for batch in gradients._minibatches(dataset, MINIBATCHES, train_step.batch_size, 0):
        start = pieces.model.apply(weights.variables, method="initial_state")
        states = [
            jnp.broadcast_to(each, (train_step.batch_size, *pieces.model.state_shape))
            for each in start
        ]
        for _ in range(STEPS):
            flat, states = gradient(batch, *states)
            found.append(np.asarray(flat, np.float64))
    return np.stack(found).reshape(MINIBATCHES, STEPS, -1)


def test_norms_are_those_of_gradients_taken_one_by_one(moments, one_by_one):
    squares = np.square(one_by_one).sum(-1).mean(0)
    np.testing.assert_allclose(moments.norms, np.sqrt(squares), rtol=1e-4)


@pytest.mark.parametrize("weights", gradients.uniform_and_hierarchical(STEPS))
def test_variance_of_a_weighted_sum_is_that_of_the_weighted_sums(moments, one_by_one, weights):
    sums = np.einsum("t,btp->bp", weights, one_by_one)
    absolute = sums.var(0, ddof=1).sum()
    squared_mean = np.square(sums.mean(0)).sum() - absolute / MINIBATCHES
    found = moments.variance(weights)
    np.testing.assert_allclose(found.absolute, absolute, rtol=1e-3)
    np.testing.assert_allclose(found.relative, absolute / squared_mean, rtol=1e-3)


def test_variance_of_one_step_at_a_time_is_that_of_all_gradients_together():
    # So many minibatches that estimates without bias are those of the whole.
    rng = np.random.default_rng(0)
    found = rng.normal(size=(2, STEPS, 5)) + 3
    products = np.einsum("bsp,btp->bst", found, found).mean(0)
    means = found.mean(0)
    weights = np.array([0.5, 0.3, 0.2])
    together = (STEPS * weights[:, None] * found).reshape(-1, 5)
    of_all = GradientMoments(products, means @ means.T, 10**9).variance(weights, True)
    np.testing.assert_allclose(of_all.absolute, together.var(0).sum(), rtol=1e-6)


def test_a_mean_that_is_lost_in_the_noise_has_no_relative_variance():
    noise = GradientMoments(np.eye(2), np.eye(2) / 4, num_minibatches=4)
    assert np.isnan(noise.variance(np.ones(2)).relative)


def test_weights_without_decay_are_even():
    even, hierarchical = gradients.uniform_and_hierarchical(5, decay=1.0)
    np.testing.assert_allclose(hierarchical, even)


@pytest.mark.parametrize("per", ["example", "batch"])
def test_weights_by_step_are_those_of_the_formula(per):
    entry = ("hierarchical_supervision_weighting", {"num_steps": 4, "per": per}, ["answer"])
    found = gradients.weights_by_step([("unit_mean_weighting", {}), entry], 4)
    powers = 0.7 ** np.arange(4)
    np.testing.assert_allclose(found["answer"], powers / powers.sum(), rtol=1e-6)
    np.testing.assert_allclose(found["halt"], 1)


def test_one_minibatch_is_refused(setting):
    pieces, weights, dataset = setting
    with pytest.raises(ValueError, match="needs 2 or more"):
        gradients.measure(pieces.train_step, DEPTH, weights, dataset, 1)
