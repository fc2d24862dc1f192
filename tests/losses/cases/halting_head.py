import numpy as np

from tests.losses.cases.case import BATCH, Case


def halt_logits_and_solved(rng):
    return {
        "halt_logits": rng.normal(size=BATCH).astype(np.float32),
        "solved": rng.random(BATCH) < 0.5,
    }


CASES = {"halting_loss": Case(halt_logits_and_solved, ("halt_logits",))}
