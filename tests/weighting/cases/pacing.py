from tests.weighting.cases.case import Case

CASES = {
    "pacing_subset_weighting": Case(
        settings={"end_step": 10, "start_fraction": 0.4, "power": 2.0},
        identity={"end_step": 10, "start_fraction": 1.0},
    ),
}
