import numpy as np

from tests.losses.cases.case import BATCH, Case


def pairs(rng):
    return {
        "log_probabilities": rng.uniform(-9, -1, (BATCH, 2)).astype(np.float32),
        "reference_log_probabilities": rng.uniform(-9, -1, (BATCH, 2)).astype(np.float32),
        "lengths": rng.integers(1, 9, (BATCH, 2)),
    }


CASES = {
    "direct_preference_loss": Case(pairs, ("log_probabilities",), {"beta": 0.5, "margin": 0.1}),
}
