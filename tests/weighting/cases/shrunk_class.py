import numpy as np

from tests.weighting.cases.case import Case

CLASSES = 3


def probabilities(shape):
    return np.random.default_rng(7).dirichlet(np.full(CLASSES, 0.5), shape[0]).astype(np.float32)


CASES = {
    "shrunk_class_weighting": Case(
        settings={"threshold": 0.8, "decay": 0.9},
        extras=lambda shape: {"weak_probabilities": probabilities(shape)},
    ),
}
