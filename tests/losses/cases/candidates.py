import numpy as np

from tests.losses.cases.case import BATCH, Case


def logits_and_right(rng):
    return {
        "keep_logits": rng.normal(size=(BATCH, 3)).astype(np.float32),
        "right": rng.random((BATCH, 3)) < 0.5,
    }


CASES = {"keep_loss": Case(logits_and_right, ("keep_logits",))}
