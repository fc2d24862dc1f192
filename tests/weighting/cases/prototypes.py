import numpy as np

from tests.weighting.cases.case import Case

CLASSES, FEATURES = 3, 4


def embeddings_and_labels(shape):
    rng = np.random.default_rng(9)
    return {
        "embeddings": rng.normal(size=(shape[0], FEATURES)).astype(np.float32),
        "labels": np.arange(shape[0]) % CLASSES,
        "is_labeled": np.arange(shape[0]) % 2 == 0,
    }


CASES = {
    "prototype_gap_weighting": Case(
        settings={"num_classes": CLASSES, "num_features": FEATURES, "decay": 0.9},
        extras=embeddings_and_labels,
        static=("num_classes", "num_features"),
    ),
}
