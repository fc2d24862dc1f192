from tests.weighting.cases.case import Case

CASES = {
    "loss_based_weighting": Case(
        settings={"temperature": 0.5, "delta": 2.0, "burn_in_steps": 0},
        identity={"burn_in_steps": 1},
    ),
}
