from tests.losses.cases.case import Case, logits_and_labels

CASES = {"self_adjusting_dice_loss": Case(logits_and_labels, ("logits",))}
