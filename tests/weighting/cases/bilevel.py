import numpy as np

from tests.weighting.cases.case import Case


def domains_and_shadow(shape):
    return {
        "domain_ids": np.arange(shape[0]) % 3,
        "shadow_losses": np.random.default_rng(4).uniform(0, 2, shape).astype(np.float32),
    }


CASES = {
    "first_order_bilevel_weighting": Case(
        settings={"num_domains": 3, "learning_rate": 2.0, "clip": 0.5},
        identity={"num_domains": 3, "learning_rate": 0.0},
        extras=domains_and_shadow,
        optional=("shadow_losses",),
        static=("num_domains",),
    ),
}
