import numpy as np

from tests.losses.cases.case import BATCH, Case


def embeddings_and_labels(rng):
    return {
        "embeddings": rng.normal(size=(BATCH, 3)).astype(np.float32),
        "labels": rng.integers(0, 3, BATCH),
    }


def similarities(rng):
    return {
        "similarities": rng.uniform(-1, 1, (BATCH, 6)).astype(np.float32),
        "is_positive": np.arange(6) < rng.integers(1, 6, (BATCH, 1)),
    }


def queries_and_keys(rng):
    return {
        "queries": rng.normal(size=(BATCH, 3)).astype(np.float32),
        "keys": rng.normal(size=(BATCH, 3)).astype(np.float32),
        "negatives": rng.normal(size=(BATCH, 2, 3)).astype(np.float32),
    }


CASES = {
    "info_nce_loss": Case(queries_and_keys, ("queries", "keys", "negatives"), per_example=False),
    "multi_similarity_loss": Case(embeddings_and_labels, ("embeddings",), per_example=False),
    "multi_similarity_pair_loss": Case(similarities, ("similarities",)),
}
