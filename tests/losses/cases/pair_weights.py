import numpy as np

from tests.losses.cases.case import BATCH, Case


def scores_and_weights(rng):
    return {
        "scores": rng.normal(size=(BATCH, 6)).astype(np.float32),
        "is_positive": rng.random((BATCH, 6)) < 0.3,
        "weights": rng.random((BATCH, 6)).astype(np.float32),
    }


CASES = {"pair_weight_loss": Case(scores_and_weights, ("scores",))}
