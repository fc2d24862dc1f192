import numpy as np

from tests.weighting.cases.case import Case


def alignment(shape):
    return {"alignment": np.random.default_rng(3).normal(size=shape[0]).astype(np.float32)}


CASES = {"meta_weighting": Case(settings={"ema_decay": 0.9}, extras=alignment)}
