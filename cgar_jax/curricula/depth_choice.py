"""Depth choices: rules that select the depth of each optimizer step of a curriculum stage.

>>> from cgar_jax.curricula import Depth, as_depth_choice
>>> as_depth_choice(Depth(n=6, T=3)).network_calls
21.0

A stage may have several depths. Its compiled step then contains all of them and runs the one that
the choice selects, because a depth is static: a traced depth would need a while loop, which has no
reverse-mode gradient. This file has the interface and the trivial choice; `nested.py` and
`plateau.py` have the others.
"""

import abc
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax

from cgar_jax._core.depth import Depth, as_depth


class DepthChoice(abc.ABC):
    """A rule that selects one of several depths at each optimizer step.

    Subclasses are frozen, hashable dataclasses, so that they can be static arguments of compiled
    functions. Their memory between optimizer steps is a state of arrays, which `init` creates and
    `update` replaces.

    Attributes:
      stateful: whether the choice depends on earlier losses. Such a choice must be the only stage
        of its curriculum.
    """

    stateful = False

    @property
    @abc.abstractmethod
    def draws(self) -> tuple[tuple[float, Depth], ...]:
        """All depths, each with its expected share of the optimizer steps: `(share, depth)`."""

    @property
    def full(self) -> Depth:
        """The depth to evaluate with: the last one, read only after its last cycle."""
        return self.draws[-1][1].full

    @property
    def num_exits(self) -> int:
        """Number of times that one supervision step reads and supervises the answer."""
        return self.draws[-1][1].num_exits

    @property
    def network_calls(self) -> float:
        """Expected number of forward calls, see `Depth.network_calls`."""
        return sum(probability * depth.network_calls for probability, depth in self.draws)

    @property
    def gradient_aware_cost(self) -> float:
        """Expected training cost in forward calls, see `Depth.gradient_aware_cost`."""
        return sum(probability * depth.gradient_aware_cost for probability, depth in self.draws)

    def init(self, total_steps: int) -> Any:
        """Returns the state before the first optimizer step; empty unless `stateful`."""
        del total_steps
        return ()

    @abc.abstractmethod
    def choose(self, state: Any, key: jax.Array, progress: jax.Array) -> jax.Array | int:
        """Returns the index of the depth of one optimizer step.

        Args:
          state: state from `init` or `update`.
          key: random key of this optimizer step.
          progress: fraction of training done, float32 scalar.

        Returns:
          An index into `draws`, int32 scalar, or an int if there is only one depth.
        """

    def update(self, state: Any, loss: jax.Array, total_steps: int) -> Any:
        """Returns the state after an optimizer step.

        Args:
          state: state before the step.
          loss: mean answer loss of the step, float32 scalar.
          total_steps: number of optimizer steps of the run.
        """
        del loss, total_steps
        return state


@dataclasses.dataclass(frozen=True)
class FixedDepth(DepthChoice):
    """The choice of a stage that has only one depth.

    Attributes:
      depth: the depth of every optimizer step.
    """

    depth: Depth

    def __str__(self) -> str:
        return str(self.depth)

    @property
    def draws(self) -> tuple[tuple[float, Depth]]:
        """The one depth, with a share of 1."""
        return ((1.0, self.depth),)

    def choose(self, state: Any, key: jax.Array, progress: jax.Array) -> int:
        """Returns 0, the index of the one depth."""
        del state, key, progress
        return 0


StageDepth = Depth | DepthChoice
"""The depth of the optimizer steps of one curriculum stage: fixed, or a choice among several."""


def as_stage_depth(depth: StageDepth | Sequence[int]) -> StageDepth:
    """Returns `depth`, converting a pair `(n, T)` to a `Depth`."""
    return depth if isinstance(depth, DepthChoice) else as_depth(depth)


def as_depth_choice(depth: StageDepth) -> DepthChoice:
    """Returns a stage's depth as a `DepthChoice`.

    Args:
      depth: a `Depth`, or a `DepthChoice` among several.

    Returns:
      `depth` itself if it is a `DepthChoice`, otherwise a `FixedDepth` of it.

    Example:
      >>> from cgar_jax.curricula import Depth, as_depth_choice
      >>> as_depth_choice(Depth(6, 3)).draws
      ((1.0, Depth(n=6, T=3, exits=(3,))),)
    """
    return depth if isinstance(depth, DepthChoice) else FixedDepth(depth)


def check_no_exits(depths: Sequence[Depth]) -> None:
    """Raises a ValueError if one of several depths has early exits."""
    for depth in depths:
        if depth != depth.full:
            raise ValueError(
                f"the depth {depth} is one of several depths of a stage, which must have no early "
                f"exits; use {depth.full} instead"
            )


def strictly_increase(values: Sequence[float]) -> bool:
    """Returns whether each value is larger than the one before it."""
    return all(a < b for a, b in itertools.pairwise(values))
