import numpy as np

from tests.weighting.cases.case import Case


def propensity(shape):
    return {"propensity": np.random.default_rng(6).uniform(0, 1, shape[0]).astype(np.float32)}


CASES = {
    "inverse_propensity_weighting": Case(
        settings={"clip": 0.3}, identity={"clip": 1.0}, extras=propensity
    ),
}
