"""A weighting that keeps only the best of several attempts at an example.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> winner, losses = weighting.winner_takes_all_weighting(), jnp.array([[3.0, 1.0]])
>>> print(winner.update(jnp.ones_like(losses), winner.init(losses), losses)[0])
[[0. 2.]]
"""

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.ranges import check_number
from cgar_jax.weighting.base import Extras, Term, stateless


def winner_takes_all_weighting(
    relaxation: chex.Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Keeps the smallest loss of each example: only the best of K attempts learns.

    `w_k = K (1 - relaxation)` for the smallest loss, the first of equal ones, and
    `w_k = K relaxation / (K - 1)` for the others. Without relaxation, the mean over the attempts is
    the smallest loss. Masked attempts do not take part, and K is the number of the others.

    Use it when an example has several answers side by side, such as the hypotheses of
    `cgar_jax.recursion`, and they should become different from each other. A little relaxation
    helps attempts that never win.

    Args:
      relaxation: share of the weight that the other attempts have together, in [0, 1].

    Extra arguments:
      - `where`: mask, bool `[batch]` or `[batch, attempts]`; masked losses get weight 0.

    Returns:
      A weighting without state, for losses `[batch, attempts]`.

    Raises:
      ValueError: if `relaxation` is out of range; at the first update (trace time), if the losses
        have another number of axes.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> winner = weighting.winner_takes_all_weighting(relaxation=0.1)
      >>> losses = jnp.array([[0.5, 0.2], [0.1, 0.1]])
      >>> print(winner.update(jnp.ones_like(losses), winner.init(losses), losses)[0])
      [[0.2 1.8]
       [1.8 0.2]]

    Reference:
      Dillon, 2026, arXiv 2601.19085 (sic), as in the released code. Relaxation: Rupprecht et al.,
      2016, arXiv 1612.00197.
    """
    name = "winner_takes_all_weighting"
    check_number(name, "relaxation", relaxation, "[0, 1]")

    def weigh(term: Term, extras: Extras) -> jax.Array:
        del extras
        if term.losses.ndim != 2:
            raise ValueError(
                f"{name}: the losses have shape {term.losses.shape}, but the weighting compares "
                "several attempts; pass the losses as [batch, attempts]"
            )
        best = jnp.argmin(jnp.where(term.valid, term.losses, jnp.inf), axis=1)
        wins = jax.nn.one_hot(best, term.losses.shape[1])
        number = term.valid.sum(axis=1, keepdims=True)
        others = relaxation / jnp.maximum(number - 1, 1)
        # A single attempt has all the weight.
        won = jnp.where(number > 1, 1 - jnp.asarray(relaxation, jnp.float32), 1)
        return number * jnp.where(wins > 0, won, others)

    return stateless(name, weigh)
