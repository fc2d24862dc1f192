import numpy as np

from tests.losses.cases.case import BATCH, Case


def two_views(rng):
    return {
        "weak_probabilities": rng.dirichlet(np.full(5, 0.5), BATCH).astype(np.float32),
        "strong_logits": rng.normal(size=(BATCH, 5)).astype(np.float32),
    }


CASES = {
    "shrunk_class_consistency_loss": Case(two_views, ("strong_logits",), {"threshold": 0.9}),
}
