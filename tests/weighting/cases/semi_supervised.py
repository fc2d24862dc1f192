import numpy as np

from tests.weighting.cases.case import Case

CLASSES, FEATURES = 3, 4


def probabilities(shape):
    return np.random.default_rng(7).dirichlet(np.full(CLASSES, 0.5), shape[0]).astype(np.float32)


def guesses_and_neighbors(shape):
    rng = np.random.default_rng(8)
    guesses = probabilities(shape)
    return {
        "probabilities": guesses,
        "is_labeled": np.arange(shape[0]) % 4 == 0,
        "neighbor_labels": np.where(rng.random(shape[0]) < 0.7, guesses.argmax(-1), 0),
        "agreement": rng.uniform(0.4, 1, shape[0]).astype(np.float32),
    }


def embeddings_and_labels(shape):
    rng = np.random.default_rng(9)
    return {
        "embeddings": rng.normal(size=(shape[0], FEATURES)).astype(np.float32),
        "labels": np.arange(shape[0]) % CLASSES,
        "is_labeled": np.arange(shape[0]) % 2 == 0,
    }


CASES = {
    "agreement_pseudo_label_weighting": Case(
        settings={
            "agreement_threshold": 0.5,
            "confidence_threshold": 0.5,
            "unlabeled_weight": 0.5,
            "num_classes": CLASSES,
            "decay": 0.9,
        },
        extras=guesses_and_neighbors,
        static=("num_classes",),
    ),
    "prototype_gap_weighting": Case(
        settings={"num_classes": CLASSES, "num_features": FEATURES, "decay": 0.9},
        extras=embeddings_and_labels,
        static=("num_classes", "num_features"),
    ),
    "shrunk_class_weighting": Case(
        settings={"threshold": 0.8, "decay": 0.9},
        extras=lambda shape: {"weak_probabilities": probabilities(shape)},
    ),
}
