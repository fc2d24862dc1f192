import numpy as np

from tests.weighting.cases.case import Case


def view_and_gradient(shape):
    rng = np.random.default_rng(5)
    return {
        "logits": rng.normal(size=(*shape, 4)).astype(np.float32),
        "labels": rng.integers(0, 4, shape),
        "weight_gradient": (1e-6 * rng.normal(size=shape)).astype(np.float32),
    }


CASES = {
    "self_taught_weighting": Case(
        settings={"learning_rate": 0.1, "hidden_size": 6, "minimum": 0.1, "feature_decay": 0.9},
        identity={"learning_rate": 0.1, "minimum": 1.0},
        extras=view_and_gradient,
        optional=("weight_gradient",),
        static=("hidden_size", "seed"),
    ),
}
