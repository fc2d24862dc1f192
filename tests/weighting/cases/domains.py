import numpy as np

from tests.weighting.cases.case import Case


def references_and_domains(shape):
    rng = np.random.default_rng(5)
    return {
        "reference_losses": rng.uniform(0, 1, shape[0]).astype(np.float32),
        "domain_ids": np.arange(shape[0]) % 3,
    }


CASES = {
    "doremi_domain_weighting": Case(
        settings={"num_domains": 3, "step_size": 0.5, "smoothing": 1e-2, "clip": 5.0},
        identity={"num_domains": 3, "step_size": 0.0, "smoothing": 0.0},
        extras=references_and_domains,
        static=("num_domains",),
    ),
}
