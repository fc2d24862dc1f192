import numpy as np

from tests.losses.cases.case import BATCH, Case


def losses(rng):
    return {"losses": rng.uniform(0.05, 3, BATCH).astype(np.float32)}


def losses_of_steps(rng):
    return {"losses": rng.uniform(0.05, 3, (BATCH, 5)).astype(np.float32)}


def logits_under_attack(rng):
    logits, moved = rng.normal(size=(2, BATCH, 5)).astype(np.float32)
    return {
        "logits": logits,
        "adversarial_logits": logits + moved,
        "labels": rng.integers(0, 5, BATCH),
    }


CASES = {
    "comp_sum_loss": Case(losses, ("losses",), {"tau": 1.7}, keeps_dtype=True),
    "loss_over_loss": Case(losses_of_steps, ("losses",), {"margin": 0.1}, keeps_dtype=True),
    "pass_at_n_loss": Case(losses, ("losses",), {"num_samples": 4}, keeps_dtype=True),
    "smooth_adversarial_comp_sum_loss": Case(
        logits_under_attack,
        ("logits", "adversarial_logits"),
        {"tau": 0.5, "margin": 2.0, "strength": 0.3},
    ),
}
