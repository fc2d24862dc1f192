from tests.losses.cases.case import Case, logits_and_labels
from tests.losses.cases.ranking import scores_and_labels

CASES = {
    "wasserstein1_ordinal_loss": Case(logits_and_labels, ("logits",)),
    "wasserstein_list_loss": Case(
        scores_and_labels, ("scores",), {"temperature": 0.5}, per_example=False
    ),
}
