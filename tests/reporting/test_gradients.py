"""Gradients by supervision step are compared with gradients taken one at a time."""

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
from cgar_jax.training.deep_supervision import example_losses
from cgar_jax.training.state import averaged
from tests.training import problem

STEPS, MINIBATCHES, DEPTH = 3, 4, Depth(1, 1)


@pytest.fixture(scope="module")
def setting():
    experiment, _, state = problem.build()
    examples = problem.examples()
    dataset = Dataset(
        examples, examples, examples, problem.VOCABULARY, problem.CELLS, 3, problem.reverse_some
    )
    return experiment, averaged(state), dataset


@pytest.fixture(scope="module")
def moments(setting):
    experiment, params, dataset = setting
    return gradients.measure(experiment.train_step, DEPTH, params, dataset, MINIBATCHES)


@pytest.fixture(scope="module")
def one_by_one(setting):
    """Gradients taken one at a time, float64 `[minibatches, steps, parameters]`."""
    experiment, params, dataset = setting
    train_step = experiment.train_step

    @jax.jit
    def gradient(batch, *states):
        def loss(trained):
            rows = params.puzzle_table[batch["puzzle_identifiers"]]
            variables = params.variables | {"params": trained}
            question = Question(batch["inputs"], rows)
            after, outputs = supervision_step(experiment.model, variables, question, states, DEPTH)
            terms = example_losses(
                outputs,
                batch["labels"],
                train_step.supervision.answer_loss,
                train_step.supervision.halting_loss_weight,
            )
            return terms["answer"].mean() + terms["halt"].mean(), after

        found, states = jax.grad(loss, has_aux=True)(params.variables["params"])
        return jax.flatten_util.ravel_pytree(found)[0], states

    found = []
    for batch in gradients._minibatches(dataset, MINIBATCHES, train_step.batch_size, 0):
        start = experiment.model.apply(params.variables, method="initial_state")
        states = [
            jnp.broadcast_to(each, (train_step.batch_size, *experiment.model.state_shape))
            for each in start
        ]
        for _ in range(STEPS):
            flat, states = gradient(batch, *states)
            found.append(np.asarray(flat, np.float64))
    return np.stack(found).reshape(MINIBATCHES, STEPS, -1)


def test_norms_agree_with_gradients_taken_one_at_a_time(moments, one_by_one):
    squares = np.square(one_by_one).sum(-1).mean(0)
    np.testing.assert_allclose(moments.norms, np.sqrt(squares), rtol=1e-4)


@pytest.mark.parametrize("step_weights", gradients.uniform_and_hierarchical(STEPS))
def test_the_variance_under_weights_is_that_of_weighted_sums(moments, one_by_one, step_weights):
    sums = np.einsum("t,btp->bp", step_weights, one_by_one)
    absolute = sums.var(0, ddof=1).sum()
    squared_mean = np.square(sums.mean(0)).sum() - absolute / MINIBATCHES
    found = moments.variance(step_weights)
    np.testing.assert_allclose(found.absolute, absolute, rtol=1e-3)
    np.testing.assert_allclose(found.relative, absolute / squared_mean, rtol=1e-3)


def test_the_variance_of_one_step_at_a_time_is_that_of_all_gradients_together():
    # With this many minibatches, the unbiased estimates equal the values of the population.
    rng = np.random.default_rng(0)
    found = rng.normal(size=(2, STEPS, 5)) + 3
    products = np.einsum("bsp,btp->bst", found, found).mean(0)
    means = found.mean(0)
    step_weights = np.array([0.5, 0.3, 0.2])
    together = (STEPS * step_weights[:, None] * found).reshape(-1, 5)
    moments = GradientMoments(products, means @ means.T, 10**9)
    variance = moments.variance(step_weights, one_step_at_a_time=True)
    np.testing.assert_allclose(variance.absolute, together.var(0).sum(), rtol=1e-6)


def test_a_mean_that_is_lost_in_the_noise_has_no_relative_variance():
    noise = GradientMoments(np.eye(2), np.eye(2) / 4, num_minibatches=4)
    assert np.isnan(noise.variance(np.ones(2)).relative)


def test_changes_by_hsw_are_those_of_each_set_of_minibatches():
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(2):
        found = rng.normal(size=(6, STEPS, 5)) + 3
        products = np.einsum("bsp,btp->bst", found, found).mean(0)
        means = found.mean(0)
        sets.append(GradientMoments(products, means @ means.T, 6))
    even, hsw = gradients.uniform_and_hierarchical(STEPS)
    changes = gradients.changes_by_hsw(sets)["absolute"]
    ratios = [each.variance(hsw).absolute / each.variance(even).absolute for each in sets]
    np.testing.assert_allclose(1 + changes, ratios)


def test_weights_without_decay_are_uniform():
    uniform, hierarchical = gradients.uniform_and_hierarchical(5, decay=1.0)
    np.testing.assert_allclose(hierarchical, uniform)


@pytest.mark.parametrize("per", ["example", "batch"])
def test_weights_by_step_follow_the_formula(per):
    entry = ("hierarchical_supervision_weighting", {"num_steps": 4, "per": per}, ["answer"])
    found = gradients.weights_by_step([("unit_mean_weighting", {}), entry], 4)
    powers = 0.7 ** np.arange(4)
    np.testing.assert_allclose(found["answer"], powers / powers.sum(), rtol=1e-6)
    np.testing.assert_allclose(found["halt"], 1)


def test_one_minibatch_is_too_few_for_a_variance(setting):
    experiment, params, dataset = setting
    with pytest.raises(ValueError, match="needs 2 or more"):
        gradients.measure(experiment.train_step, DEPTH, params, dataset, 1)
