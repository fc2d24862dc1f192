"""Every published model trains from its entry in `PUBLISHED_MODELS`, on one device and on many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import experiment
from cgar_jax.config import PUBLISHED_MODELS, set_published_model
from cgar_jax.training.state import averaged
from tests.training import problem

CELLS = 16  # a square board, which SE-RRM needs


def build(name, **changes):
    """The experiment of `tests.training.problem` with a published model."""
    config = problem.config(**changes)
    config.weighting = ()
    set_published_model(config, name)
    task = experiment.Task(problem.VOCABULARY, CELLS, num_puzzle_identifiers=3)
    pieces = experiment.build(config, task)
    return pieces, pieces.on_device(problem.examples(cells=CELLS), problem.reverse_some)


@pytest.fixture(scope="module", params=PUBLISHED_MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def trained(name):
    """The experiment, its first state, and the state and metrics after four steps."""
    pieces, dataset = build(name)
    first = pieces.initial_state()
    depth = pieces.curriculum.full_depth
    state, metrics = problem.program(pieces, first, dataset, depth)(
        jax.tree.map(jnp.copy, first), dataset, 4
    )
    return pieces, first, state, metrics


def test_its_loss_is_finite_and_all_its_parameters_are_trained(name, trained):
    _, first, state, metrics = trained
    assert np.isfinite(metrics["loss"]).all()
    same = jax.tree.map(np.array_equal, jax.device_get(first.params), jax.device_get(state.params))
    unchanged = [jax.tree_util.keystr(path) for path, x in jax.tree.leaves_with_path(same) if x]
    # Without a halting loss, a head that begins at zero stays there.
    assert unchanged == (["['halting_head']"] if name == "rsm" else [])


def test_eight_devices_train_like_one(name, trained):
    pieces, dataset = build(name, mesh__data=8)
    state = pieces.initial_state()
    depth = pieces.curriculum.full_depth
    _, metrics = problem.program(pieces, state, dataset, depth)(state, dataset, 4)
    np.testing.assert_allclose(metrics["loss"], trained[-1]["loss"], rtol=1e-4)


def test_it_is_evaluated_with_the_same_draws_each_time(trained):
    pieces, _, state, _ = trained
    params = averaged(state)
    once, again = (pieces.evaluator(params, problem.examples(cells=CELLS)) for _ in range(2))
    assert once == again
    assert 0 <= once["cell_accuracy"] <= 1
