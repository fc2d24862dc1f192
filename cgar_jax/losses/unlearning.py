"""Losses that make a model forget some of its answers.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> print(losses.npo_loss(jnp.array([-1.0, -9.0]), jnp.array([-1.0, -1.0]), beta=0.5).round(3))
[2.773 0.073]

`cgar_jax.weighting.satimp_weighting` weights the losses of examples to unlearn.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


def npo_loss(
    log_probabilities: chex.Array,
    reference_log_probabilities: chex.Array,
    *,
    beta: chex.Numeric,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the loss of negative preference optimization: a pair with only a rejected answer.

    `(2 / beta) softplus(beta (log p - log p_reference))`.

    Use it to make a model forget answers. Its gradient fades once an answer has become much less
    probable than it was, so that training does not diverge as it does if the likelihood is simply
    lowered. For small `beta` the gradient becomes that of `log p`.

    Args:
      log_probabilities: log-probability of each answer, summed over its tokens, float `[batch]`.
      reference_log_probabilities: log-probabilities by the model before unlearning, `[batch]`; not
        differentiated.
      beta: how soon the gradient fades, above 0; 0.1 to 1 are common.
      where: mask, bool `[batch]`; False answers do not count.

    Returns:
      Losses, float32 `[batch]`, with value 0 and gradient 0 for answers that do not count.

    Raises:
      ValueError: if the shapes differ, or `beta` is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import npo_loss
      >>> print(npo_loss(jnp.array([-2.0]), jnp.array([-2.0]), beta=1.0).round(3))  # 2 log 2
      [1.386]

    Reference:
      Zhang, Lin, Bai and Mei, 2024, arXiv 2404.05868.
    """
    check_number("npo_loss", "beta", beta, "(0, inf)")
    arrays = {
        "log_probabilities": log_probabilities,
        "reference_log_probabilities": reference_log_probabilities,
    }
    valid, (ours, reference) = _prepared("npo_loss", arrays, where)
    ratio = ours - jax.lax.stop_gradient(reference)
    return jnp.where(valid, 2 / beta * jax.nn.softplus(beta * ratio), 0)


class _Divergence(NamedTuple):
    """An f-divergence by its variational form `sup E_p[g(x)] - E_q[f*(g(x))]`."""

    g: Callable[[jax.Array], jax.Array]
    conjugate_of_g: Callable[[jax.Array], jax.Array]


DIVERGENCES = {
    "total_variation": _Divergence(lambda x: jnp.tanh(x) / 2, lambda x: jnp.tanh(x) / 2),
    "kl": _Divergence(lambda x: x, lambda x: jnp.exp(x - 1)),
    "pearson": _Divergence(lambda x: x, lambda x: jnp.square(x) / 4 + x),
    "jensen_shannon": _Divergence(
        lambda x: jnp.log(2.0) - jax.nn.softplus(-x), lambda x: jax.nn.softplus(x) - jnp.log(2.0)
    ),
    "squared_hellinger": _Divergence(lambda x: -jnp.expm1(-x), jnp.expm1),
    "neyman": _Divergence(lambda x: -jnp.expm1(-x), lambda x: -2 * jnp.expm1(-x / 2)),
}


def f_divergence_unlearning_loss(
    wanted_probabilities: chex.Array,
    forgotten_probabilities: chex.Array,
    *,
    divergence: Literal[
        "total_variation", "kl", "pearson", "jensen_shannon", "squared_hellinger", "neyman"
    ] = "total_variation",
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the loss of preferring a wanted answer to one that should be forgotten.

    `-g(P_wanted) + f*(g(P_forgotten))`, the variational form of an f-divergence: `g(x) = tanh(x) /
    2` and `f*(u) = u` for the total variation, `x` and `exp(u - 1)` for KL, `x` and `u^2 / 4 + u`
    for Pearson's; the others as for f-GANs.

    Use it to unlearn without any data that should be retained: the wanted answer is a template such
    as a refusal. The gradient of the forgotten answer stays bounded as its probability vanishes.

    Args:
      wanted_probabilities: mean probability of the tokens of the wanted answer, float `[batch]`.
      forgotten_probabilities: mean probability of the tokens of the answer to forget, `[batch]`.
      divergence: the divergence.
      where: mask, bool `[batch]`; False examples do not count.

    Returns:
      Losses, float32 `[batch]`, with value 0 and gradient 0 for examples that do not count. The
      released code averages the probabilities over the batch first.

    Raises:
      ValueError: if the shapes differ, or the divergence is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import f_divergence_unlearning_loss
      >>> print(f_divergence_unlearning_loss(jnp.array([0.9, 0.1]), jnp.array([0.1, 0.9])).round(3))
      [-0.308  0.308]

    Reference:
      "LLM Unlearning via Loss Adjustment with Only Forget Data" (FLAT), 2024, as in the released
      code, except for the Jensen-Shannon divergence, whose conjugate is derived anew. Nowozin,
      Cseke and Tomioka, 2016, arXiv 1606.00709, for the pairs of functions.
    """
    owner = "f_divergence_unlearning_loss"
    check_name(f"divergence of {owner}", divergence, DIVERGENCES)
    arrays = {
        "wanted_probabilities": wanted_probabilities,
        "forgotten_probabilities": forgotten_probabilities,
    }
    valid, (wanted, forgotten) = _prepared(owner, arrays, where)
    form = DIVERGENCES[divergence]
    return jnp.where(valid, form.conjugate_of_g(forgotten) - form.g(wanted), 0)


def _prepared(
    owner: str, arrays: dict[str, chex.Array], where: jax.typing.ArrayLike | None
) -> tuple[jax.Array, list[jax.Array]]:
    """Returns which examples count, and two arguments `[batch]` in float32, 0 at the others."""
    (first, array), *_ = arrays.items()
    check_shape(owner, first, array, ("batch",))
    valid = valid_entries(where, jnp.shape(array))
    for name, each in arrays.items():
        check_shape(owner, name, each, valid.shape)
    return valid, [jnp.where(valid, x, 0).astype(jnp.float32) for x in arrays.values()]
