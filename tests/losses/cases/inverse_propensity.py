import numpy as np

from tests.losses.cases.case import BATCH, Case


def clicks(rng):
    return {
        "positive_losses": rng.uniform(0, 1, BATCH).astype(np.float32),
        "negative_losses": rng.uniform(0, 1, BATCH).astype(np.float32),
        "observed": rng.random(BATCH) < 0.5,
        "propensity": rng.uniform(0, 1, BATCH).astype(np.float32),
    }


CASES = {
    "clipped_inverse_propensity_loss": Case(
        clicks,
        ("positive_losses", "negative_losses"),
        {"clip": 0.2, "negative_weight": 0.5},
        keeps_dtype=True,
    ),
}
