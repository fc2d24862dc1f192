import numpy as np

from tests.weighting.cases.case import Case


def teacher_losses(shape):
    return {"teacher_losses": np.random.default_rng(4).uniform(0, 3, shape[0]).astype(np.float32)}


CASES = {
    "teacher_loss_selection_weighting": Case(
        settings={"low_quantile": 0.2, "high_quantile": 0.9},
        identity={"low_quantile": 0.0, "high_quantile": 1.0},
        extras=teacher_losses,
    ),
}
