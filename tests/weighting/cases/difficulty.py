import numpy as np

from tests.weighting.cases.case import Case


def difficulty(shape):
    rng = np.random.default_rng(3)
    return {"difficulty": rng.permutation(shape[0]).astype(np.float32)}


CASES = {
    "difficulty_curriculum_weighting": Case(
        settings={"end_step": 10, "min_ease": 1e-8},
        identity={"end_step": 10, "min_ease": 1.0},
        extras=difficulty,
    ),
}
