from tests.weighting.cases.case import Case

CASES = {
    "focal_weighting": Case(settings={"gamma": 0.5}, identity={"gamma": 0.0}),
    "loss_based_reweighting": Case(
        settings={"temperature": 0.5, "delta": 2.0, "burn_in_steps": 0},
        identity={"burn_in_steps": 1},
    ),
}
