import numpy as np

from tests.losses.cases.case import BATCH, Case


def answers(rng):
    return {
        "log_probabilities": rng.uniform(-9, -1, BATCH).astype(np.float32),
        "reference_log_probabilities": rng.uniform(-9, -1, BATCH).astype(np.float32),
    }


def probabilities(rng):
    names = ("wanted_probabilities", "forgotten_probabilities")
    return {name: rng.uniform(0, 1, BATCH).astype(np.float32) for name in names}


CASES = {
    "f_divergence_unlearning_loss": Case(
        probabilities, ("wanted_probabilities", "forgotten_probabilities")
    ),
    "npo_loss": Case(answers, ("log_probabilities",), {"beta": 0.5}),
}
