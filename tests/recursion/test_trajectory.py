"""Trajectories: the readings of one puzzle, and where they end."""

import numpy as np
import pytest

from cgar_jax.recursion import Trajectory
from cgar_jax.training.state import averaged
from tests.training import problem


@pytest.mark.parametrize(("last_change", "kept"), [(0, 2), (1, 2), (2, 4), (3, 4), (5, 6)])
def test_a_settled_trajectory_ends_with_the_supervision_step_of_its_last_change(last_change, kept):
    answers = np.array([[int(reading >= last_change)] for reading in range(6)])
    trajectory = Trajectory(np.zeros(1, int), answers, np.ones((6, 1)), np.ones(6), num_cycles=2)
    assert len(trajectory.until_settled().answers) == kept


def test_the_last_reading_of_a_trajectory_is_what_the_evaluator_predicts():
    experiment, _, state = problem.build()
    examples = {name: column[:1] for name, column in problem.examples().items()}
    params = averaged(state)
    (predictions,) = experiment.evaluator.predict(params, examples)
    identifier = int(examples["puzzle_identifiers"][0])
    trajectory = experiment.reasoner.trajectory(params, examples["inputs"][0], identifier)
    assert len(trajectory.answers) == 3 * trajectory.num_cycles
    np.testing.assert_array_equal(trajectory.answers[-1], predictions.answers[0])
    np.testing.assert_allclose(
        trajectory.halting_probabilities[-1], predictions.halting_probabilities[0], rtol=1e-4
    )
    confidences = trajectory.confidences
    assert ((confidences > 1 / problem.VOCABULARY) & (confidences <= 1)).all()
