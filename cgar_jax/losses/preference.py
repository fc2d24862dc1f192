"""Losses for pairs of answers, of which one is preferred.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses
>>> pairs = jnp.array([[-2.0, -5.0]])  # log-probabilities of the chosen and the rejected answer
>>> print(losses.direct_preference_loss(pairs, jnp.array([[-3.0, -4.0]]), beta=0.5).round(3))
[0.313]

Preferences over longer lists are in `ranking.py`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from cgar_jax._core.checks import check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name

OWNER = "direct_preference_loss"
LINKS = ("logistic", "squared", "hinge")


def direct_preference_loss(
    log_probabilities: chex.Array,
    reference_log_probabilities: chex.Array | None = None,
    lengths: chex.Array | None = None,
    *,
    beta: chex.Numeric,
    margin: chex.Numeric = 0.0,
    link: Literal["logistic", "squared", "hinge"] = "logistic",
    odds: bool = False,
    where: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Computes the loss of preferring the second answer of a pair, for most direct methods.

    `rho = s_chosen - s_rejected` with `s = (log p - log p_reference) / length`, and then

        softplus(margin - beta rho)      logistic
        (rho - 1 / (2 beta))^2           squared
        max(0, margin - beta rho)        hinge

    A missing reference or length drops out of `s`. With `odds`, `log p / length` is replaced by its
    log-odds, `log p - log(1 - p)`. The published methods are choices among these:

    - DPO: a reference. Its length-normalized form (Tulu 3): also lengths, with a beta of about 5.
    - CPO: no reference. SimPO: lengths and a margin, no reference. ORPO: lengths and `odds`.
    - IPO: a reference and "squared". SLiC: "hinge" with margin 1, no reference.

    Use it to learn from comparisons of two answers, for example of a deep and a shallow recursion.

    Args:
      log_probabilities: log-probability of the chosen and of the rejected answer, summed over its
        tokens, float `[batch, 2]`.
      reference_log_probabilities: log-probabilities of both by a fixed model, `[batch, 2]`; not
        differentiated.
      lengths: numbers of tokens, `[batch, 2]`; values below 1 count as 1.
      beta: scale of the preference, above 0.
      margin: how far the chosen answer has to be ahead, at least 0; not for "squared".
      link: see above.
      odds: whether log-odds take the place of log-probabilities.
      where: mask, bool `[batch]`; False pairs do not count.

    Returns:
      Losses, float32 `[batch]`, with value 0 and gradient 0 for pairs that do not count.

    Raises:
      ValueError: if a shape or setting is wrong, or "squared" has a margin.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax.losses import direct_preference_loss
      >>> same = jnp.array([[-2.0, -5.0]])
      >>> print(direct_preference_loss(same, same, beta=0.1).round(3))  # log 2
      [0.693]

    Reference:
      DPO: Rafailov et al., 2023, arXiv 2305.18290. Lengths: Lambert et al., 2024, arXiv 2411.15124;
      its beta is not confirmed. The common form: Richardson, Srikumar and Sabharwal, 2024.
    """
    check_number(OWNER, "beta", beta, "(0, inf)")
    check_number(OWNER, "margin", margin, "[0, inf)")
    check_name(f"link of {OWNER}", link, LINKS)
    if link == "squared" and isinstance(margin, int | float) and margin:
        raise ValueError(
            f"{OWNER}: margin is {margin}, but the squared link has its own, 1/(2 beta)"
        )
    check_shape(OWNER, "log_probabilities", log_probabilities, ("batch", 2))
    valid = valid_entries(where, jnp.shape(log_probabilities)[:1])
    scores = _prepared("log_probabilities", log_probabilities, valid)
    reference, length = 0.0, 1.0
    if reference_log_probabilities is not None:
        reference = _prepared("reference_log_probabilities", reference_log_probabilities, valid)
    if lengths is not None:
        length = jnp.maximum(_prepared("lengths", lengths, valid), 1)
    scores = scores / length
    if odds:
        scores = jnp.minimum(scores, -1e-6)  # the odds of a certain answer are infinite
        scores = scores - jnp.log(-jnp.expm1(scores))
    scores = scores - jax.lax.stop_gradient(reference / length)
    rho = scores[:, 0] - scores[:, 1]
    if link == "squared":
        losses = jnp.square(rho - 0.5 / beta)
    else:
        bend = jax.nn.softplus if link == "logistic" else jax.nn.relu
        losses = bend(margin - beta * rho)
    return jnp.where(valid, losses, 0)


def _prepared(name: str, array: chex.Array, valid: jax.Array) -> jax.Array:
    """Returns an argument `[batch, 2]` in float32, with -1 in the pairs that do not count."""
    check_shape(OWNER, name, array, (*valid.shape, 2))
    return jnp.where(valid[:, None], jnp.asarray(array).astype(jnp.float32), -1)
