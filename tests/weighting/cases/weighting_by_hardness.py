from tests.weighting.cases.case import Case

CASES = {
    "progressive_hardness_weighting": Case(
        settings={"hardness": -0.5, "statistics": "ema", "clip": 1.5, "decay": 0.9},
        identity={"hardness": 0.0},
    ),
}
