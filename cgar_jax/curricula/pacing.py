"""Pacing: how large a share of the training examples is in use, and in which order they come in."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.random import own_key
from cgar_jax._core.registry import check_name

_OWNER = "pacing_subset_curriculum"

# How much of the rest is in use, from the array module and how much of the way is done, in [0, 1].
_FAMILIES: dict[str, Callable[[Any, Any], Any]] = {
    "linear": lambda xp, x: x,
    "root": lambda xp, x: xp.sqrt(x),
    "quadratic": lambda xp, x: xp.square(x),
    "exponential": lambda xp, x: xp.expm1(10 * x) / math.expm1(10),
    "step": lambda xp, x: xp.floor(x),
}

_ORDERS = ("curriculum", "anti", "random")


@dataclasses.dataclass(frozen=True)
class PacingCurriculum:
    """A share of the examples for every moment of training: ``curriculum(progress) -> fraction``.

    Made by `pacing_subset_curriculum`, which says what its attributes mean; frozen and hashable.
    """

    start_fraction: float
    full_at: float
    family: str
    order: str

    def __post_init__(self):
        check_number(_OWNER, "start_fraction", self.start_fraction, "[0, 1]")
        check_number(_OWNER, "full_at", self.full_at, "(0, inf)")
        check_name("family", self.family, _FAMILIES)
        check_name("order", self.order, _ORDERS)

    def __call__(self, progress: chex.Numeric) -> chex.Numeric:
        """Share of the examples in use at this progress.

        Args:
          progress: fraction of training done, in [0, 1]; a number, or a JAX array, traced or not.

        Returns:
          In [0, 1]: a float for a number, and a JAX array for a JAX array.

        Raises:
          ValueError: a number outside [0, 1].
        """
        check_number(_OWNER, "progress", progress, "[0, 1]")
        xp = _array_module(progress)
        if xp is jnp:
            progress = progress.astype(jnp.promote_types(progress.dtype, jnp.float32))
        # 0.1 + 0.2 means 0.3: with float64, a step at the boundary is at it.
        arrived = progress >= self.full_at - 1e-9
        way = xp.minimum(progress / self.full_at, 1.0)
        added = xp.minimum(_FAMILIES[self.family](xp, way), 1.0)
        fraction = xp.where(arrived, 1.0, self.start_fraction + (1 - self.start_fraction) * added)
        return fraction if xp is jnp else float(fraction)

    def count(self, progress: chex.Numeric, num_examples: int) -> int | jax.Array:
        """How many examples are in use at this progress, ``ceil(fraction * num_examples)``.

        Args:
          progress: as for a call.
          num_examples: how many there are; int, 1 or more.

        Returns:
          From 1 to ``num_examples``: an int for a number, an int32 JAX array for a JAX array. The
          latter is computed in float32 and may be one off, and by one more for each million.

        Raises:
          ValueError: a number outside [0, 1]; ``num_examples`` less than 1.
        """
        check_number(_OWNER, "num_examples", num_examples, "[1, inf)")
        xp = _array_module(progress)
        fraction = self(progress)
        # A fraction that is a rounding error above 2 / num_examples stands for two examples.
        slack = 1e-6 if xp is jnp else 1e-9
        exact = xp.ceil(fraction * num_examples * (1 - slack))
        count = xp.where(fraction >= 1, num_examples, xp.clip(exact, 1, num_examples).astype(int))
        return count if xp is jnp else int(count)

    def order_examples(self, scores: chex.Array, key: jax.Array | None = None) -> jax.Array:
        """The order in which examples come in: those in use are the first `count` of it.

        Args:
          scores: ``[n]``, the difficulty of each example, such as its loss under the current model.
          key: random key; only for ``order="random"``.

        Returns:
          int32 ``[n]``, the indices of the examples. Those of equal score keep their order.

        Raises:
          ValueError: scores of another shape; ``order="random"`` without a key.
        """
        scores = jnp.asarray(scores)
        check_shape(_OWNER, "scores", scores, ("examples",))
        if self.order != "random":
            return jnp.argsort(scores, stable=True, descending=self.order == "anti")
        if key is None:
            raise ValueError(
                f"{_OWNER}: the order is 'random', but no key was given; "
                "pass order_examples(scores, key=jax.random.key(seed))"
            )
        return jax.random.permutation(own_key(_OWNER, key), scores.shape[0])


def pacing_subset_curriculum(
    start_fraction: float = 0.2,
    full_at: float = 0.8,
    family: Literal["linear", "root", "quadratic", "exponential", "step"] = "linear",
    order: Literal["curriculum", "anti", "random"] = "curriculum",
) -> PacingCurriculum:
    """Train on a part of the examples at first, the easiest, and on more and more of them.

    ``fraction = b + (1 - b) f(min(progress / a, 1))``, ``b = start_fraction``, ``a = full_at``; f:

    - ``"linear"``: ``x``;
    - ``"root"``: ``x^(1/2)``, fast at first;
    - ``"quadratic"``: ``x^2``, slow at first;
    - ``"exponential"``: ``(e^(10 x) - 1) / (e^10 - 1)``, almost all of it at the end;
    - ``"step"``: ``floor(x)``, all at once at ``full_at``.

    With frozen scores the set in use only grows::

        curriculum = pacing_subset_curriculum()
        order = curriculum.order_examples(losses_of_all_examples)
        in_use = order[: curriculum.count(step / total_steps, len(order))]

    The paper also selects the clients of federated learning in this way: give the mean loss of each
    client as the scores, and those in use are the clients to train on.

    Args:
      start_fraction: in [0, 1], the share at the start; 1 is ordinary training. At least one
        example is in use.
      full_at: above 0, the progress at which all examples are in use; 1 or less, or training ends
        before.
      family: how the share grows.
      order: ``"curriculum"`` has the easiest examples first, ``"anti"`` the hardest, and
        ``"random"`` any, which shows what the pace alone does.

    Returns:
      A `PacingCurriculum`.

    Raises:
      ValueError: a setting out of its range.

    Source: Vahidian et al., When Do Curricula Work in Federated Learning?, ICCV 2023, arXiv
    2212.12712; likely. The families are those of Wu, Dyer and Neyshabur, When Do Curricula Work?,
    ICLR 2021, arXiv 2012.03107 (released code); that the federated paper uses the same is not
    confirmed, and its selection of clients is reconstructed from the abstract. All four defaults
    are ours.
    """
    return PacingCurriculum(start_fraction, full_at, family, order)


def _array_module(value: chex.Numeric) -> Any:
    return jnp if isinstance(value, jax.Array) else np
