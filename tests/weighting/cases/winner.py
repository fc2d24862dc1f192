from tests.weighting.cases.case import BATCH, STEPS, Case

CASES = {
    "winner_takes_all_weighting": Case(
        settings={"relaxation": 0.1},
        shapes=((BATCH, STEPS),),
    )
}
