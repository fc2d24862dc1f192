from tests.weighting.cases.case import Case

# Only ones come out of normalize_mean as they went in, so it has no setting that is the identity.
CASES = {"normalize_mean": Case(multiplies=False)}
