from tests.weighting.cases.case import Case, supervision_step

CASES = {
    "hierarchical_supervision_weighting": Case(
        settings={"decay": 0.7, "num_steps": 16},
        identity={"decay": 1.0, "normalize": "none"},
        extras=supervision_step,
    ),
}
