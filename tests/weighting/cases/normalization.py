from tests.weighting.cases.case import Case

# No setting of unit_mean_weighting leaves all weights unchanged.
CASES = {"unit_mean_weighting": Case(multiplies=False)}
