import numpy as np

from tests.losses.cases.case import BATCH, Case, logits_and_labels

ITEMS = 6


def scores_and_labels(rng):
    return {
        "scores": rng.normal(size=(BATCH, ITEMS)).astype(np.float32),
        "labels": rng.integers(0, 4, (BATCH, ITEMS)).astype(np.float32),
    }


def answers(rng):
    lists = scores_and_labels(rng)
    return {
        "log_probabilities": lists["scores"],
        "labels": lists["labels"],
        "reference_log_probabilities": rng.normal(size=(BATCH, ITEMS)).astype(np.float32),
    }


def student_and_teacher(rng):
    student = logits_and_labels(rng)
    return {
        "student_logits": student["logits"],
        "teacher_logits": rng.normal(size=student["logits"].shape).astype(np.float32),
        "labels": student["labels"],
    }


CASES = {
    "lambda_preference_loss": Case(answers, ("log_probabilities",), {"beta": 0.5}),
    "plackett_luce_distillation_loss": Case(student_and_teacher, ("student_logits",)),
    "rank_list_loss": Case(scores_and_labels, ("scores",), {"max_distance": 2}),
    "weighted_ranknet_loss": Case(scores_and_labels, ("scores",)),
}
