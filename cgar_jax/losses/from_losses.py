"""Losses that are computed from other losses and stay unreduced.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> cross_entropies = losses.softmax_cross_entropy_loss(jnp.zeros((2, 4)), jnp.array([0, 3]))
>>> print(losses.comp_sum_loss(cross_entropies, tau=2.0))
[0.75 0.75]

They keep the dtype of their input; only `smooth_adversarial_comp_sum_loss`, which starts from
logits, returns float32. The formulas themselves are in `_core.loss_maps`, because weightings of the
same names use their slopes.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core import loss_maps as _loss_maps
from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import read_labels, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax._core.vectors import lengths
from cgar_jax.losses.cross_entropy import softmax_cross_entropy_loss


def comp_sum_loss(
    losses: chex.Array, tau: chex.Numeric, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Transforms cross-entropies into a comp-sum loss, which tolerates wrong labels for tau > 1.

    `(exp((1 - tau) loss) - 1) / (1 - tau)`, and the loss itself at `tau = 1`. With
    `p = exp(-loss)`:

    - `tau = 0` gives `1 / p - 1` (sum-exponential loss),
    - `tau = 1 + q` gives `(1 - p^q) / q` (generalized cross-entropy),
    - `tau = 2` gives `1 - p` (mean absolute error).

    Use it with `tau` between 1 and 2 for noisy labels. Its slope `p^(tau - 1)` is the factor of
    `weighting.comp_sum_weighting`, which trains with the same gradient.

    Args:
      losses: cross-entropies, one per label, float of any shape. Transform them before averaging
        over tokens unless the mean itself should be transformed.
      tau: exponent, at least 0; may be traced, not differentiated.
      where: mask, bool with the shape of `losses` or its leading axes; False entries do not count.

    Returns:
      Losses with the shape and dtype of `losses`, computed in float32, with value 0 and gradient 0
      where masked. For tau < 1, the loss continues along its tangent where the exponential exceeds
      exp(80).

    Raises:
      ValueError: if `tau` is negative, or the axes of `where` are not the leading axes of `losses`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import comp_sum_loss
      >>> cross_entropies = jnp.array([0.1, 5.0])
      >>> for tau in (1.0, 1.5):
      ...     print(comp_sum_loss(cross_entropies, tau).round(3))
      [0.1 5. ]
      [0.098 1.836]

    Reference:
      Mao, Mohri and Zhong, 2023, "Cross-Entropy Loss Functions: Theoretical Analysis and
      Applications", arXiv 2304.07288.
    """
    check_number("comp_sum_loss", "tau", tau, "[0, inf)")
    valid, countable = _countable(losses, where)
    return jnp.where(valid, _loss_maps.comp_sum(countable, tau), 0).astype(losses.dtype)


def smooth_adversarial_comp_sum_loss(
    logits: chex.Array,
    adversarial_logits: chex.Array,
    labels: chex.Array,
    *,
    tau: chex.Numeric,
    margin: chex.Numeric,
    strength: chex.Numeric,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes a comp-sum loss plus the distance by which an attack moves the margins.

    `comp_sum(CE(h / margin), tau) + strength |D(x') - D(x)|_2`, with `h` the logits at `x`, `CE`
    the softmax cross-entropy, and `D` the vector of margins `h_label - h_class`. The first term
    therefore transforms the sum of `exp(-(h_label - h_class) / margin)` over the wrong classes.

    Use it to train a classifier that is robust to small changes of its input. The paper maximizes
    the second term over all `x'` near `x`. This search is left to the caller: ascend this loss in
    `x'` (only the second term depends on it), and pass the logits that were found.

    Args:
      logits: model outputs at `x`, float `[..., classes]`.
      adversarial_logits: model outputs at `x'`, with the shape of `logits`; both are
        differentiated.
      labels: classes, int `[...]` in `0 .. classes - 1`, or `IGNORE_LABEL`.
      tau: exponent of the comp-sum loss, at least 0.
      margin: divisor of the logits, above 0, `rho` in the paper.
      strength: weight of the second term, at least 0, `nu` in the paper.
      where: mask, bool `[...]` or its leading axes; False tokens do not count.

    Returns:
      Losses, float32 `[...]`, with value 0 and gradient 0 where masked or ignored. Where `D(x')`
      equals `D(x)`, the gradient of the norm is 0.

    Raises:
      ValueError: if a setting is out of range, or the shapes do not fit each other.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import smooth_adversarial_comp_sum_loss
      >>> logits, attacked = jnp.array([[2.0, 0.0]]), jnp.array([[1.0, 1.0]])
      >>> labels = jnp.array([0])
      >>> settings = dict(tau=1.0, margin=1.0, strength=0.5)
      >>> print(smooth_adversarial_comp_sum_loss(logits, attacked, labels, **settings).round(3))
      [1.127]

    Reference:
      Mao, Mohri and Zhong, 2023, "Cross-Entropy Loss Functions: Theoretical Analysis and
      Applications", arXiv 2304.07288. That the margin divides each difference of logits, and not
      their sum, is unconfirmed.
    """
    name = "smooth_adversarial_comp_sum_loss"
    check_number(name, "tau", tau, "[0, inf)")
    check_number(name, "margin", margin, "(0, inf)")
    check_number(name, "strength", strength, "[0, inf)")
    check_shape(name, "adversarial_logits", adversarial_logits, logits.shape)
    valid, labels = read_labels(name, logits, labels, where)
    clean, attacked = (
        jnp.where(valid[..., None], array.astype(jnp.float32), 0)
        for array in (logits, adversarial_logits)
    )
    cross_entropy = softmax_cross_entropy_loss(clean / margin, labels, where=valid)
    moved = attacked - clean
    margins_moved = jnp.take_along_axis(moved, labels[..., None], axis=-1) - moved
    distance = lengths(margins_moved)
    found = _loss_maps.comp_sum(cross_entropy, tau) + jnp.asarray(strength, jnp.float32) * distance
    return jnp.where(valid, found, 0)


def pass_at_n_loss(
    losses: chex.Array, num_samples: chex.Numeric, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Computes the negative log-probability that at least one of n sampled answers is right.

    `-log(1 - (1 - p)^n)` with `p = exp(-loss)`. The slope `n p (1 - p)^(n - 1) / (1 - (1 - p)^n)`
    lies in [0, 1]: examples that one of n samples solves anyway are hardly trained.

    Use it if the model is evaluated by sampling n answers. The slope is the factor of
    `weighting.pass_at_n_weighting`, which trains with the same gradient.

    Args:
      losses: negative log-probabilities of whole answers, summed over their tokens, float of any
        shape.
      num_samples: number n of samples that evaluation draws, at least 1 (`N` in the paper), not
        necessarily an integer; may be traced, not differentiated. 1 returns the losses unchanged.
      where: mask, bool with the shape of `losses` or its leading axes; False entries do not count.

    Returns:
      Losses with the shape and dtype of `losses`, computed in float32, with value 0 and gradient 0
      where masked. `exp(-pass_at_n_loss)` is the probability of at least one right answer.

    Raises:
      ValueError: if `num_samples` is below 1, or the axes of `where` are not the leading axes of
        `losses`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import pass_at_n_loss
      >>> losses = -jnp.log(jnp.array([0.5, 0.1]))
      >>> print(jnp.exp(-pass_at_n_loss(losses, num_samples=2)).round(3))
      [0.75 0.19]

    Reference:
      Chen, Raventos, Cheng, Ganguli and Druckmann, 2025, "Rethinking Fine-Tuning when Scaling
      Test-Time Compute", arXiv 2502.07154. Its step-wise variants are not included.
    """
    check_number("pass_at_n_loss", "num_samples", num_samples, "[1, inf)")
    valid, countable = _countable(losses, where)
    return jnp.where(valid, _loss_maps.pass_at_n(countable, num_samples), 0).astype(losses.dtype)


def loss_over_loss(
    losses: chex.Array,
    strength: chex.Numeric = 1.0,
    margin: chex.Numeric = 0.0,
    detach_shallow: bool = True,
    pairs: Literal["all", "adjacent"] = "all",
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Adds to the loss of each step the amounts by which it exceeds the losses of earlier steps.

    `l_j + strength (S / P) sum_{i < j} max(0, l_j - l_i + margin)`, with `S` the number of steps
    and `P` the number of pairs of steps that count. The mean over the steps is thus the mean of `l`
    plus `strength` times the mean over the pairs. With `margin=0`, losses that never rise from one
    step to the next are returned unchanged.

    Use it for models with several supervision steps or exits, where later ones should be better.

    Args:
      losses: losses of the steps in their order, float `[batch, steps]`.
      strength: weight of the penalty, at least 0, `lambda` in the paper; its released runs use 1.
      margin: amount by which each step should be better than the steps before; negative values
        tolerate small rises.
      detach_shallow: whether no gradient reaches `l_i` through a pair, so that an earlier step is
        not made worse to make a later one look better. True is our choice; False is the released
        code.
      pairs: `"all"` for every `i < j`, `"adjacent"` for `i = j - 1` only.
      where: mask, bool `[batch, steps]` or `[batch]`. A False step does not count and forms no
        pair; the steps on its two sides are not adjacent.

    Returns:
      Losses with the shape and dtype of `losses`, computed in float32, with value 0 and gradient 0
      where masked.

    Raises:
      ValueError: if `losses` is not `[batch, steps]`, a setting is unknown or out of range, or
        `where` has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import loss_over_loss
      >>> print(loss_over_loss(jnp.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])))
      [[3. 2. 1.]
       [1. 3. 6.]]

    Reference:
      Zhu et al., 2022, "LoL: A Comparative Regularization Loss over Query Reformulation Losses",
      arXiv 2204.11545. The released code is `detach_shallow=False, pairs="all"`, where a step is an
      amount of feedback; the use for supervision steps is ours.
    """
    check_shape("loss_over_loss", "losses", losses, ("batch", "steps"))
    check_number("loss_over_loss", "strength", strength, "[0, inf)")
    check_number("loss_over_loss", "margin", margin, "(-inf, inf)")
    check_name("pairs", pairs, ("all", "adjacent"))
    valid, deep = _countable(losses, where)
    shallow = jax.lax.stop_gradient(deep) if detach_shallow else deep
    step = jnp.arange(deep.shape[1])
    before = step[:, None] < step if pairs == "all" else step[:, None] == step - 1
    paired = before & valid[:, :, None] & valid[:, None, :]
    rise = deep[:, None, :] - shallow[:, :, None] + jnp.asarray(margin, jnp.float32)
    penalty = jnp.sum(jnp.where(paired, jax.nn.relu(rise), 0), axis=1)
    scale = valid.sum(axis=1) / jnp.maximum(paired.sum(axis=(1, 2)), 1)
    found = deep + jnp.asarray(strength, jnp.float32) * scale[:, None] * penalty
    return jnp.where(valid, found, 0).astype(losses.dtype)


def _countable(
    losses: chex.Array, where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Returns which losses count, and the losses in float32 with zeros at the others."""
    valid = valid_entries(where, losses.shape)
    return valid, jnp.where(valid, losses, 0).astype(jnp.float32)
