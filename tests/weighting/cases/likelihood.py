from tests.weighting.cases.case import Case

CASES = {
    "comp_sum_weighting": Case(settings={"tau": 1.7}, identity={"tau": 1.0}),
    "focal_weighting": Case(settings={"gamma": 0.5}, identity={"gamma": 0.0}),
    "pass_at_n_weighting": Case(settings={"num_samples": 4}, identity={"num_samples": 1}),
    "satimp_weighting": Case(
        settings={"saturation": 5.0, "importance": 1.0},
        identity={"saturation": 0.0, "importance": 0.0, "ascent": False},
    ),
}
