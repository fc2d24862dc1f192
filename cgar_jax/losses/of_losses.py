"""Losses of losses: functions of losses that there are already, which stay unreduced.

They keep the dtype of their input; `smooth_adversarial_comp_sum_loss`, which starts from logits,
returns float32.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core import loss_maps as _loss_maps
from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_entries, valid_labels
from cgar_jax._core.registry import check_name
from cgar_jax.losses.cross_entropy import softmax_cross_entropy_loss


def comp_sum_loss(
    losses: chex.Array, tau: chex.Numeric, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Bend cross-entropies into a comp-sum loss: above tau 1, one that bears noisy labels.

    ``(exp((1 - tau) loss) - 1) / (1 - tau)``; at ``tau = 1`` the loss itself. With
    ``p = exp(-loss)``: ``tau = 0`` is ``1 / p - 1`` (sum-exponential), ``tau = 1 + q`` is
    ``(1 - p^q) / q`` (generalized cross-entropy), ``tau = 2`` is ``1 - p`` (mean absolute error).
    The slope is ``p^(tau - 1)``, the factor of `cgar_jax.weighting.comp_sum_weighting`.

    Args:
      losses: cross-entropies of any shape, one per label: take them before any mean over tokens,
        unless it is the mean that shall be bent.
      tau: 0 or more; may be traced, but is not differentiated.
      where: bool, the shape of ``losses`` or its leading axes; False does not count.

    Returns:
      The shape and dtype of ``losses``, computed in float32; value 0 and gradient 0 where masked.
      Below tau 1, where the exponential passes exp(80), it goes on along its tangent.

    Raises:
      ValueError: a negative ``tau``; the axes of ``where`` are not the leading ones of ``losses``.

    Source: Mao, Mohri, Zhong, Cross-Entropy Loss Functions, 2023, arXiv 2304.07288; certain.
    """
    check_number("comp_sum_loss", "tau", tau, "[0, inf)")
    valid, countable = _countable(losses, where)
    return jnp.where(valid, _loss_maps.comp_sum(countable, tau), 0).astype(losses.dtype)


def smooth_adversarial_comp_sum_loss(
    logits: chex.Array,
    adversarial_logits: chex.Array,
    labels: chex.Array,
    tau: chex.Numeric,
    margin: chex.Numeric,
    strength: chex.Numeric,
    *,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Comp-sum loss plus how far an attack moves the margins: robust, and smooth in the logits.

    ``comp_sum(CE(h / margin), tau) + strength |D(x') - D(x)|_2``, with ``h`` the logits at x, CE
    the softmax cross-entropy, and ``D`` the vector of margins ``h_label - h_class``. So the first
    term bends ``u``, the sum of ``exp(-(h_label - h_class) / margin)`` over the wrong classes.

    The paper takes the largest ``|D(x') - D(x)|_2`` over all x' near x. Searching x' is the
    caller's: climb this loss in x' (only its second term moves), then pass the logits found.

    Args:
      logits: at x, ``[..., classes]``, any float dtype.
      adversarial_logits: at x', the shape of ``logits``. The gradient flows through both.
      labels: ``[...]``, int, in ``0 .. classes - 1`` or `IGNORE_LABEL`.
      tau: 0 or more, as in `comp_sum`.
      margin: above 0, ``rho`` in the paper.
      strength: 0 or more, ``nu`` in the paper.
      where: bool, ``[...]`` or its leading axes; False does not count.

    Returns:
      float32 ``[...]``, value 0 and gradient 0 where masked or ignored. Where ``D(x') = D(x)`` the
      gradient of the norm is taken as 0.

    Raises:
      ValueError: a setting out of its range; shapes that do not fit each other.

    Source: Mao, Mohri, Zhong, Cross-Entropy Loss Functions, 2023, arXiv 2304.07288; likely: that
    the margin divides each difference of logits, and not their sum, is not confirmed.
    """
    name = "smooth_adversarial_comp_sum_loss"
    check_number(name, "tau", tau, "[0, inf)")
    check_number(name, "margin", margin, "(0, inf)")
    check_number(name, "strength", strength, "[0, inf)")
    check_shape(name, "adversarial_logits", adversarial_logits, logits.shape)
    check_shape(name, "labels", labels, logits.shape[:-1])
    valid = valid_labels(labels, where)
    clean, attacked = (
        jnp.where(valid[..., None], array.astype(jnp.float32), 0)
        for array in (logits, adversarial_logits)
    )
    cross_entropy = softmax_cross_entropy_loss(clean / margin, labels, where=valid)
    moved = attacked - clean
    label = jnp.where(valid, labels, 0)[..., None]
    margins_moved = jnp.take_along_axis(moved, label, axis=-1) - moved
    distance = optax.safe_norm(margins_moved, 0.0, axis=-1)
    found = _loss_maps.comp_sum(cross_entropy, tau) + jnp.asarray(strength, jnp.float32) * distance
    return jnp.where(valid, found, 0)


def pass_at_n_loss(
    losses: chex.Array, num_samples: chex.Numeric, *, where: jax.typing.ArrayLike | None = None
) -> jax.Array:
    """Negative log-probability that at least one of n sampled answers is right.

    ``-log(1 - (1 - p)^n)``, ``p = exp(-loss)``. The slope,
    ``n p (1 - p)^(n - 1) / (1 - (1 - p)^n)``, lies in [0, 1]: what one of n samples solves anyway
    hardly trains. It is the factor of `cgar_jax.weighting.pass_at_n_weighting`.

    Args:
      losses: negative log-probabilities of *whole* answers, summed over their tokens; any shape.
      num_samples: n, 1 or more, ``N`` in the paper; any real number. It may be traced, but is not
        differentiated. 1 gives the losses back. It should be what evaluation draws.
      where: bool, the shape of ``losses`` or its leading axes; False does not count.

    Returns:
      The shape and dtype of ``losses``, computed in float32; value 0 and gradient 0 where masked.
      ``exp(-pass_at_n)`` is the probability itself.

    Raises:
      ValueError: ``num_samples`` below 1; the axes of ``where`` are not the leading ones of
        ``losses``.

    Source: Chen, Raventos, Cheng, Ganguli, Druckmann, Rethinking Fine-Tuning when Scaling Test-Time
    Compute, 2025, arXiv 2502.07154; certain. Its step-wise variants are not offered.
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
    """Add to each step's loss what it exceeds the losses of earlier steps by (LoL).

    ``l_j + strength (S / P) sum_{i < j} max(0, l_j - l_i + margin)``, with S the steps and P the
    pairs of the example that count: its mean over the steps is the mean of ``l`` plus ``strength``
    times the mean over the pairs. Losses that never rise from step to step, with margin 0, are
    given back as they are.

    Args:
      losses: ``[batch, steps]``, ordered so that later steps ought to be better.
      strength: 0 or more, ``lambda`` in the paper; its released runs use 1.
      margin: by how much each step ought to be better than those before it; negative forgives.
      detach_shallow: True, recommended and ours: no gradient reaches ``l_i`` through a pair, so
        that no step is made worse to make a later one look better. False is the released code.
      pairs: ``"all"`` with ``i < j``, or only the ``"adjacent"`` with ``i = j - 1``.
      where: bool, ``[batch, steps]`` or ``[batch]``; False does not count: such a step forms no
        pair, also not across itself when pairs are adjacent.

    Returns:
      The shape and dtype of ``losses``, computed in float32; value 0 and gradient 0 where masked.

    Raises:
      ValueError: losses that are not ``[batch, steps]``; a setting out of its range or unknown; a
        ``where`` of another shape.

    Source: Zhu et al., LoL, 2022, arXiv 2204.11545; certain (released code) with
    ``detach_shallow=False`` and all pairs, where the steps are amounts of feedback. Reading them as
    steps of recursion is ours.
    """
    check_shape("loss_over_loss", "losses", losses, ("batch", "steps"))
    check_number("loss_over_loss", "strength", strength, "[0, inf)")
    check_number("loss_over_loss", "margin", margin, "(-inf, inf)")
    check_name("pairs", pairs, ("all", "adjacent"))
    valid, deep = _countable(losses, where)
    shallow = jax.lax.stop_gradient(deep) if detach_shallow else deep
    step = jnp.arange(losses.shape[1])
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
    """Return which losses count, and the losses in float32, 0 where they do not."""
    valid = valid_entries(where, losses.shape)
    return valid, jnp.where(valid, losses, 0).astype(jnp.float32)
