"""Depth curricula for one model that works at every depth.

>>> from cgar_jax import curricula
>>> curriculum = curricula.nested_depth_curriculum(((6, 1), (6, 3)))
>>> print(curriculum(0.5), round(curriculum.relative_cost(), 3))
(6, 1) or (6, 3) 0.667

`nested_depth_curriculum` draws one of several nested depths at each optimizer step;
`sorted_exits_curriculum` supervises several cycles of one depth.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax._core.depth import Depth, as_depth
from cgar_jax.curricula.depth_choice import DepthChoice, check_no_exits, strictly_increase
from cgar_jax.curricula.depth_curriculum import DepthCurriculum


@dataclasses.dataclass(frozen=True)
class NestedDepths(DepthChoice):
    """Nested depths; each optimizer step draws one of them for its whole batch.

    Depth i consists of the first cycles of depth i + 1, and all depths share all parameters. Made
    by `nested_depth_curriculum`; frozen and hashable.

    Attributes:
      depths: depths with equal n and increasing T; pairs `(n, T)` become `Depth`.
      probabilities: probability of each depth, summing to 1. An empty tuple means equal
        probabilities.

    Raises:
      ValueError: if the depths are not nested or have early exits, or if the probabilities do not
        fit the depths.
    """

    depths: tuple[Depth, ...]
    probabilities: tuple[float, ...] = ()

    def __post_init__(self):
        depths = tuple(as_depth(depth) for depth in self.depths)
        count = max(len(depths), 1)
        probabilities = tuple(map(float, self.probabilities)) or (1 / count,) * count
        check_no_exits(depths)
        same_n = len({depth.n for depth in depths}) == 1
        if not (same_n and strictly_increase([depth.T for depth in depths])):
            raise ValueError(
                f"the depths {', '.join(map(str, depths))} are not nested; they must have equal n "
                "and increasing T, for example (6, 1), (6, 2), (6, 3)"
            )
        proper = min(probabilities) >= 0 and abs(sum(probabilities) - 1) < 1e-6
        if len(probabilities) != len(depths) or not proper:
            raise ValueError(
                f"the probabilities of {len(depths)} depths are {probabilities}, but there must be "
                "one probability for each depth, 0 or more, and they must sum to 1"
            )
        object.__setattr__(self, "depths", depths)
        object.__setattr__(self, "probabilities", probabilities)

    def __str__(self) -> str:
        return " or ".join(map(str, self.depths))

    @property
    def draws(self) -> tuple[tuple[float, Depth], ...]:
        """All depths, each with its probability."""
        return tuple(zip(self.probabilities, self.depths, strict=True))

    def choose(self, state: Any, key: jax.Array, progress: jax.Array) -> jax.Array:
        """Returns the index of a randomly drawn depth, int32 scalar.

        Args:
          state: unused, empty.
          key: random key of this optimizer step.
          progress: unused.
        """
        del state, progress
        return jax.random.choice(key, len(self.depths), p=jnp.asarray(self.probabilities))


def nested_depth_curriculum(
    depths: Sequence[Depth | tuple[int, int]] = ((6, 1), (6, 2), (6, 3)),
    probabilities: Sequence[float] = (),
) -> DepthCurriculum:
    """Returns a curriculum that draws one of several nested depths at each optimizer step.

        i ~ probabilities;  loss = loss at depths[i]

    The expected loss is `sum_i probabilities[i] * (loss at depths[i])`. Use it to train a model
    that works at every depth, for less compute than training at full depth. To supervise all depths
    at every step instead, use `sorted_exits_curriculum`.

    Args:
      depths: depths with equal n and increasing T, each a `Depth` or a pair `(n, T)`.
      probabilities: probability of each depth, summing to 1. An empty sequence means equal
        probabilities.

    Returns:
      A `DepthCurriculum` of one stage, a `NestedDepths`.

    Raises:
      ValueError: if the depths are not nested, or the probabilities do not fit, see `NestedDepths`.

    Example:
      >>> from cgar_jax import curricula
      >>> curriculum = curricula.nested_depth_curriculum(((6, 1), (6, 3)), (0.25, 0.75))
      >>> print(curriculum(0.5), curriculum.full_depth)
      (6, 1) or (6, 3) (6, 3)

    Reference:
      Valipour et al., 2023, "SortedNet", arXiv 2309.00255, over layers and widths. The
      uniform probabilities are unconfirmed; the use over recursion cycles is ours.
    """
    nested = NestedDepths(tuple(map(as_depth, depths)), tuple(probabilities))
    return DepthCurriculum((nested,))


def sorted_exits_curriculum(
    depth: Depth | tuple[int, int] = (6, 3), exits: Sequence[int] = ()
) -> DepthCurriculum:
    """Returns a curriculum of one depth that supervises the answer after several cycles.

        loss = 1 / |E| sum_{e in E} (loss after cycle e)

    All exits share one head. Use it to train a model that works at every depth. A cycle that ends
    in an exit runs with gradient, so each further exit costs two forward passes of a cycle.

    Args:
      depth: the depth, a `Depth` or a pair `(n, T)`.
      exits: cycles after which the answer is supervised, increasing, ending with T. An empty
        sequence means all cycles, 1 to T.

    Returns:
      A `DepthCurriculum` of one stage. Losses, including those that weightings receive, have shape
      `[batch, exits]`.

    Raises:
      ValueError: if the depth or its exits are not valid, see `Depth`.

    Example:
      >>> from cgar_jax import curricula
      >>> curricula.sorted_exits_curriculum((6, 3))(0.5)
      Depth(n=6, T=3, exits=(1, 2, 3))

    Reference:
      Kavehzadeh et al., 2023, "Sorted LLaMA" (SoFT), arXiv 2309.08968, over layers. Which
      exits the paper uses is unconfirmed; the use over recursion cycles is ours.
    """
    depth = as_depth(depth)
    return DepthCurriculum((Depth(depth.n, depth.T, tuple(exits) or tuple(range(1, depth.T + 1))),))
