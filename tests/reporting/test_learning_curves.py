"""Learning curves are read from the entries of a metrics log."""

import math

from cgar_jax.reporting.learning_curves import VALIDATED, read_learning_curve

LOG = [
    {"step": 10, "loss": 2.0, "depth": "(1, 1)", "train_flops": 100},
    {"step": 20, "loss": None, "depth": "(1, 1)", "train_flops": 200},
    {"step": 20, VALIDATED: 0.25},
    {"step": 30, "loss": 1.0, "depth": "(2, 2)", "train_flops": 500},
    {"step": 30, VALIDATED: 0.5},
]


def test_losses_and_accuracies_keep_their_steps():
    curve = read_learning_curve(LOG)
    assert curve.steps == [10, 20, 30]
    assert curve.losses[0] == 2.0
    assert math.isnan(curve.losses[1])
    assert curve.validated_steps == [20, 30]
    assert curve.accuracies == [0.25, 0.5]


def test_every_validation_has_the_flops_spent_until_then():
    assert read_learning_curve(LOG).validated_flops == [200, 500]


def test_a_stage_ends_where_the_next_one_begins():
    assert read_learning_curve(LOG).stages == [("(1, 1)", 0, 20), ("(2, 2)", 20, 30)]


def test_a_run_without_a_log_has_an_empty_curve():
    assert not any(read_learning_curve([]))
