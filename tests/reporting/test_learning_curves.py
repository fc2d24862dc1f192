"""Learning curves are read from the entries of a metrics log."""

import math

from cgar_jax.reporting.learning_curves import (
    VALIDATED,
    read_learning_curve,
    read_training_signals,
)

LOG = [
    {"step": 10, "loss": 2.0, "depth": "(1, 1)", "train_flops": 100},
    {"step": 20, "loss": None, "depth": "(1, 1)", "train_flops": 200},
    {"step": 20, VALIDATED: 0.25, f"{VALIDATED}_interval": [0.1, 0.5]},
    {"step": 30, "loss": 1.0, "depth": "(2, 2)", "train_flops": 500},
    {"step": 30, VALIDATED: 0.5},
]


def test_losses_and_accuracies_keep_their_steps():
    curve = read_learning_curve(LOG)
    assert curve.steps == [10, 20, 30]
    assert curve.losses[0] == 2.0
    assert math.isnan(curve.losses[1])
    assert curve.validated_steps == [20, 30]
    assert curve.accuracies.values.tolist() == [0.25, 0.5]


def test_a_validation_has_the_interval_of_the_log_and_an_old_one_has_none():
    accuracies = read_learning_curve(LOG).accuracies
    assert (accuracies.low[0], accuracies.high[0]) == (0.1, 0.5)
    assert math.isnan(accuracies.low[1])


def test_speed_and_learning_rate_belong_to_the_steps_of_the_log():
    log = [
        {"step": 10, "loss": 1.0, "train_seconds": 5.0, "gradient_norm": 2.0},
        {"step": 30, "loss": 1.0, "train_seconds": 10.0, "gradient_norm": None},
    ]
    signals = read_training_signals(log, lambda index: index + 1, batch_size=8)
    assert signals.steps == [10, 30]
    assert signals.learning_rates == [10, 30]
    assert signals.speeds == [16, 32]
    assert signals.gradient_norms[0] == 2.0
    assert math.isnan(signals.gradient_norms[1])
    assert math.isnan(signals.halting_accuracies[0])


def test_every_validation_has_the_flops_spent_until_then():
    assert read_learning_curve(LOG).validated_flops == [200, 500]


def test_a_stage_ends_where_the_next_one_begins():
    assert read_learning_curve(LOG).stages == [("(1, 1)", 0, 20), ("(2, 2)", 20, 30)]


def test_a_run_without_a_log_has_an_empty_curve():
    curve = read_learning_curve([])
    assert not curve.steps
    assert not curve.stages
    assert not curve.accuracies.values.size
