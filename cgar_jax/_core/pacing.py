"""The share of the training examples in use, as a function of training progress.

`cgar_jax.curricula.pacing_subset_curriculum` makes a `PacingCurriculum`, and
`cgar_jax.sampling.pacing_subset_sampling` draws batches by one. The class is here because neither
room may import the other.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax._core.checks import check_shape
from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax._core.shares import ceil_of_share

_OWNER = "pacing_subset_curriculum"

PacingFamily = Literal["linear", "root", "quadratic", "exponential", "logarithmic", "step"]
PacingOrder = Literal["curriculum", "anti", "random"]

# Each family maps `progress / full_at`, in [0, 1], to the share of the added examples in use. The
# first argument is the array module, numpy for concrete numbers and jax.numpy for JAX arrays.
_FAMILIES: dict[str, Callable[[Any, Any], Any]] = {
    "linear": lambda xp, x: x,
    "root": lambda xp, x: xp.sqrt(x),
    "quadratic": lambda xp, x: xp.square(x),
    "exponential": lambda xp, x: xp.expm1(10 * x) / math.expm1(10),
    "logarithmic": lambda xp, x: xp.log1p(math.exp(10) * x) / 10,
    "step": lambda xp, x: xp.floor(x),
}

_ORDERS = ("curriculum", "anti", "random")


@dataclasses.dataclass(frozen=True)
class PacingCurriculum:
    """A share of the examples for every moment of training, `curriculum(progress) -> fraction`.

    Made by `pacing_subset_curriculum`; frozen and hashable.

    Attributes:
      start_fraction: share of the examples at the start, in [0, 1].
      full_at: progress at which all examples are in use, above 0.
      family: shape of the growth, `"linear"`, `"root"`, `"quadratic"`, `"exponential"`,
        `"logarithmic"` or `"step"`.
      order: which examples come first, `"curriculum"` (the easiest), `"anti"` (the hardest) or
        `"random"`.
    """

    start_fraction: float
    full_at: float
    family: PacingFamily
    order: PacingOrder

    def __post_init__(self):
        check_number(_OWNER, "start_fraction", self.start_fraction, "[0, 1]")
        check_number(_OWNER, "full_at", self.full_at, "(0, inf)")
        check_name("family", self.family, _FAMILIES)
        check_name("order", self.order, _ORDERS)

    def __call__(self, progress: chex.Numeric) -> Any:
        """Returns the share of the examples in use at this progress.

        Args:
          progress: fraction of training done, in [0, 1], a number or a (traced) JAX array.

        Returns:
          A value in [0, 1]: a float for a number, a JAX array for a JAX array.

        Raises:
          ValueError: if a number lies outside [0, 1].
        """
        check_number(_OWNER, "progress", progress, "[0, 1]")
        xp = _array_module(progress)
        if isinstance(progress, jax.Array):
            progress = progress.astype(jnp.promote_types(progress.dtype, jnp.float32))
        # Without the tolerance, a rounding error could delay the arrival: 0.1 + 0.2 is not 0.3.
        arrived = progress >= self.full_at - 1e-9
        way = xp.minimum(progress / self.full_at, 1.0)
        added = xp.minimum(_FAMILIES[self.family](xp, way), 1.0)
        fraction = xp.where(arrived, 1.0, self.start_fraction + (1 - self.start_fraction) * added)
        return fraction if xp is jnp else float(fraction)

    def count(self, progress: chex.Numeric, num_examples: int) -> Any:
        """Returns the number of examples in use, `ceil(fraction * num_examples)`, at least 1.

        Args:
          progress: fraction of training done, in [0, 1], a number or a (traced) JAX array.
          num_examples: number of all examples, int, at least 1.

        Returns:
          A value from 1 to `num_examples`: an int for a number, an int32 JAX array for a JAX array.
          The array is computed in float32 and exact up to about four million examples.

        Raises:
          ValueError: if a number lies outside [0, 1], or `num_examples` is less than 1.
        """
        check_number(_OWNER, "num_examples", num_examples, "[1, inf)")
        xp = _array_module(progress)
        fraction = self(progress)
        count = xp.clip(ceil_of_share(fraction, num_examples), 1, num_examples)
        return jnp.where(fraction >= 1, num_examples, count) if xp is jnp else int(count)

    def order_examples(self, scores: chex.Array, key: jax.Array | None = None) -> jax.Array:
        """Returns the order in which the examples come into use; the first `count` are in use.

        Args:
          scores: difficulty of each example, such as its loss under the current model, `[n]`.
          key: random key, needed only for the order `"random"`.

        Returns:
          Indices of the examples, int32 `[n]`. Examples of equal score keep their order.

        Raises:
          ValueError: if `scores` is not a vector, or the order is `"random"` and `key` is None.
        """
        scores = jnp.asarray(scores)
        check_shape(_OWNER, "scores", scores, ("examples",))
        if self.order != "random":
            order = jnp.argsort(scores, stable=True, descending=self.order == "anti")
            return order.astype(jnp.int32)
        if key is None:
            raise ValueError(
                f"{_OWNER}: the order is 'random', but key is None; "
                "pass order_examples(scores, key=jax.random.key(seed))"
            )
        return jax.random.permutation(
            own_key(_OWNER, key), jnp.arange(scores.shape[0], dtype=jnp.int32)
        )


def _array_module(value: chex.Numeric) -> Any:
    return jnp if isinstance(value, jax.Array) else np
