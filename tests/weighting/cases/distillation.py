from tests.weighting.cases.case import Case

CASES = {
    "early_distillation_weighting": Case(
        settings={"role": "teacher", "distillation_steps": 5, "omega": 0.75},
        identity={"role": "label", "distillation_steps": 0, "omega": 0.75},
    ),
}
