import numpy as np

from tests.weighting.cases.case import Case
from tests.weighting.cases.shrunk_class import CLASSES, probabilities


def guesses_and_neighbors(shape):
    rng = np.random.default_rng(8)
    guesses = probabilities(shape)
    return {
        "probabilities": guesses,
        "is_labeled": np.arange(shape[0]) % 4 == 0,
        "neighbor_labels": np.where(rng.random(shape[0]) < 0.7, guesses.argmax(-1), 0),
        "agreement": rng.uniform(0.4, 1, shape[0]).astype(np.float32),
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
}
