"""Losses: pure functions from model outputs to unreduced float32 losses.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> logits, labels = jnp.zeros((2, 9, 11)), jnp.ones((2, 9), int)
>>> per_token = losses.stablemax_cross_entropy_loss(logits, labels)
>>> print(per_token.shape, losses.masked_mean(per_token, axis=-1).round(3))
(2, 9) [2.398 2.398]

Every loss has the signature `(model outputs, targets, *, where=None) -> losses` and returns one
value per example or token. The weights of these values, and the reduction over the batch, are in
`cgar_jax.weighting`; the only reduction here is `masked_mean`, from tokens to examples. Class
labels are integers of any dtype. A label that is not a class (`IGNORE_LABEL`, any other negative
number, or a number that is too large) does not count, as if `where` were False: its loss and its
gradient are 0. Losses that are computed from other losses (`comp_sum_loss`, `loss_over_loss`,
`pass_at_n_loss`) keep the dtype of their input. `LOSSES` lists all losses by name.

| name | formula | use it for | reference | unconfirmed |
| --- | --- | --- | --- | --- |
| `clipped_inverse_propensity_loss` | (Y / p) l_1 + c (1 - Y / p) l_0, p = max(propensity, clip) | clicks and other implicit feedback, where some positives go unobserved | 1909.03601 | |
| `comp_sum_loss` | (exp((1 - tau) loss) - 1) / (1 - tau) | cross-entropy with wrong labels, tau > 1 | 2304.07288 | |
| `direct_preference_loss` | softplus(margin - beta (s_chosen - s_rejected)), s = log p - log p_reference, per token if lengths are given | comparisons of two answers (DPO, CPO, SimPO, ORPO, IPO, SLiC) | 2305.18290, 2411.15124 | beta with lengths |
| `early_distillation_loss` | (1 - omega) CE(label) + omega T^2 CE(teacher) | the first steps, with the help of a smaller teacher (SALT) | 2410.18779 | omega, T |
| `f_divergence_unlearning_loss` | f*(g(P_forgotten)) - g(P_wanted) | unlearning without data to retain (FLAT) | FLAT, 2024; 1606.00709 | |
| `halting_loss` | binary cross-entropy of "solved", sigmoid(halt logit) | a head that decides when to stop | 2510.04871 | |
| `info_nce_loss` | -log softmax of cos / T over the keys, at the query's own key | two views of the same thing | 1807.03748 | |
| `keep_loss` | -4 log sigmoid(k) for right candidates, -log(1 - sigmoid(k)) / 2 for wrong ones | eliminating candidates: a wrong elimination is worse than none | 2605.08605 | |
| `lambda_preference_loss` | sum Delta_ij softplus(s_j - s_i), Delta the change of DCG | preferences over lists of answers (LiPO) | 2402.01878 | base of the logarithm |
| `loss_over_loss` | l_j + strength (S / P) sum_{i < j} max(0, l_j - l_i + margin) | several steps, where later ones should be better | 2204.11545 | |
| `multi_similarity_loss` | soft maxima of hard pairs' cosines, over the batch | embeddings from class labels | 1904.06627 | base, beta |
| `multi_similarity_pair_loss` | the same for anchors with their own items | embeddings, with items from a memory | 1904.06627 | base, beta |
| `npo_loss` | (2 / beta) softplus(beta (log p - log p_reference)) | unlearning that does not diverge (NPO) | 2404.05868 | |
| `pair_weight_loss` | sum_neg w s - sum_pos w s, w constant | combining the weights of one loss with the scores of another | 1904.06627, 2510.14824 | |
| `pass_at_n_loss` | -log(1 - (1 - exp(-loss))^n) | evaluation that samples n answers | 2502.07154 | |
| `plackett_luce_distillation_loss` | sum_k q_k (logsumexp_{l >= k} s_l - s_k) | a teacher's order of the classes (PLD) | 2506.12542 | weights |
| `self_adjusting_dice_loss` | 1 - (2 u y + g) / (u + y + g), u = (1 - p)^alpha p | rare classes, F1 as a loss | 1911.02855 | defaults |
| `shrunk_class_consistency_loss` | -log softmax over the kept classes, at the weak view's top class | unlabeled examples with uncertain predictions (ShrinkMatch) | 2308.06777 | |
| `smooth_adversarial_comp_sum_loss` | comp_sum(CE(h / margin), tau) + strength (how far an attack moves the margins) | robust classification | 2304.07288 | what the margin divides |
| `softmax_cross_entropy_loss` | -log(exp(x_label) / sum exp(x)) | any classification | optax | |
| `stablemax_cross_entropy_loss` | -log(s(x_label) / sum s(x)), s = x + 1 or 1 / (1 - x) | logits that must not grow | 2501.04697 | |
| `wasserstein1_ordinal_loss` | sum_k abs(cdf_p(k) - cdf_q(k)) | classes that have an order | ours | |
| `wasserstein_list_loss` | W2 of Gaussians fitted to predicted and labeled lists | graded relevance (SyCL) | 2503.23239 | temperature |
| `weighted_ranknet_loss` | mean softplus(s_j - s_i) / (r_i + r_j) | reranking: the top of a list matters most (FIRST) | 2406.15657 | |

Helpers: `log_stablemax` is log(s(x) / sum s(x)); `valid_labels` returns which tokens count;
`masked_mean` is sum(where * values) / max(count, 1); `shrunk_classes` drops the classes that make a
prediction uncertain. `general_pair_weights` (of any pair loss) and `decoupled_pair_weights` compute
weights for `pair_weight_loss`; `inverse_rank_sum_lambdaweight` is for the pairwise losses of rax.
Losses whose formula is not confirmed are in `cgar_jax.contrib`.
"""

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax._core.masking import masked_mean, valid_labels
from cgar_jax._core.shrunk_classes import ShrunkClasses, shrunk_classes
from cgar_jax.losses.candidates import keep_loss
from cgar_jax.losses.consistency import shrunk_class_consistency_loss
from cgar_jax.losses.cross_entropy import (
    log_stablemax,
    softmax_cross_entropy_loss,
    stablemax_cross_entropy_loss,
)
from cgar_jax.losses.dice import self_adjusting_dice_loss
from cgar_jax.losses.early_distillation import early_distillation_loss
from cgar_jax.losses.from_losses import (
    comp_sum_loss,
    loss_over_loss,
    pass_at_n_loss,
    smooth_adversarial_comp_sum_loss,
)
from cgar_jax.losses.halting_head import halting_loss
from cgar_jax.losses.inverse_propensity import clipped_inverse_propensity_loss
from cgar_jax.losses.metric_learning import (
    info_nce_loss,
    multi_similarity_loss,
    multi_similarity_pair_loss,
)
from cgar_jax.losses.pair_weights import (
    decoupled_pair_weights,
    general_pair_weights,
    pair_weight_loss,
)
from cgar_jax.losses.preference import direct_preference_loss
from cgar_jax.losses.ranking import (
    inverse_rank_sum_lambdaweight,
    lambda_preference_loss,
    plackett_luce_distillation_loss,
    weighted_ranknet_loss,
)
from cgar_jax.losses.unlearning import f_divergence_unlearning_loss, npo_loss
from cgar_jax.losses.wasserstein import wasserstein1_ordinal_loss, wasserstein_list_loss

__all__ = [
    "IGNORE_LABEL",
    "LOSSES",
    "ShrunkClasses",
    "clipped_inverse_propensity_loss",
    "comp_sum_loss",
    "decoupled_pair_weights",
    "direct_preference_loss",
    "early_distillation_loss",
    "f_divergence_unlearning_loss",
    "general_pair_weights",
    "halting_loss",
    "info_nce_loss",
    "inverse_rank_sum_lambdaweight",
    "keep_loss",
    "lambda_preference_loss",
    "log_stablemax",
    "loss_over_loss",
    "masked_mean",
    "multi_similarity_loss",
    "multi_similarity_pair_loss",
    "npo_loss",
    "pair_weight_loss",
    "pass_at_n_loss",
    "plackett_luce_distillation_loss",
    "self_adjusting_dice_loss",
    "shrunk_class_consistency_loss",
    "shrunk_classes",
    "smooth_adversarial_comp_sum_loss",
    "softmax_cross_entropy_loss",
    "stablemax_cross_entropy_loss",
    "valid_labels",
    "wasserstein1_ordinal_loss",
    "wasserstein_list_loss",
    "weighted_ranknet_loss",
]

LOSSES = {
    loss.__name__: loss
    for loss in (
        clipped_inverse_propensity_loss,
        comp_sum_loss,
        direct_preference_loss,
        early_distillation_loss,
        f_divergence_unlearning_loss,
        halting_loss,
        info_nce_loss,
        keep_loss,
        lambda_preference_loss,
        loss_over_loss,
        multi_similarity_loss,
        multi_similarity_pair_loss,
        npo_loss,
        pair_weight_loss,
        pass_at_n_loss,
        plackett_luce_distillation_loss,
        self_adjusting_dice_loss,
        shrunk_class_consistency_loss,
        smooth_adversarial_comp_sum_loss,
        softmax_cross_entropy_loss,
        stablemax_cross_entropy_loss,
        wasserstein1_ordinal_loss,
        wasserstein_list_loss,
        weighted_ranknet_loss,
    )
}
