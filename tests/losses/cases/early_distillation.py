import numpy as np

from tests.losses.cases.case import Case, logits_and_labels


def student_and_teacher(rng):
    arguments = logits_and_labels(rng)
    teacher = rng.normal(size=arguments["logits"].shape).astype(np.float32)
    return arguments | {"teacher_logits": teacher}


CASES = {
    "early_distillation_loss": Case(
        student_and_teacher, ("logits",), {"omega": 0.4, "temperature": 2.0}
    ),
}
