from tests.weighting.cases.case import Case

# unit_mean_weighting has no settings at which it is the identity.
CASES = {"unit_mean_weighting": Case(multiplies=False)}
