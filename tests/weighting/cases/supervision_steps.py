import jax
import numpy as np

from tests.weighting.cases.case import BATCH, STEPS, Case


def key(shape):
    del shape
    return {"key": jax.random.key(3)}


def position(shape):
    return {"position": np.arange(shape[0]) % STEPS + 1}


only_steps = ((BATCH, STEPS),)

CASES = {
    "nested_depth_weighting": Case(
        settings={"draws": 2},
        identity={"draws": STEPS},
        extras=key,
        shapes=only_steps,
    ),
    "position_importance_weighting": Case(
        settings={"offset": 0.5},
        identity={"offset": 1.0, "discount": lambda position: 0 * position},
        extras=position,
    ),
    "sorted_exit_weighting": Case(settings={"exits": (2, 4)}, identity={}, shapes=only_steps),
}
