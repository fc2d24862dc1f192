from tests.losses.cases.case import Case, logits_and_labels

CASES = {
    "softmax_cross_entropy_loss": Case(logits_and_labels, ("logits",)),
    "stablemax_cross_entropy_loss": Case(logits_and_labels, ("logits",)),
}
