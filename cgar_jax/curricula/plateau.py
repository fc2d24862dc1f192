"""A depth curriculum that deepens the recursion when the training loss stops falling.

>>> from cgar_jax import curricula
>>> curriculum = curricula.plateau_depth_curriculum(((2, 1), (6, 3)))
>>> print(curriculum(0.0))
(2, 1), (6, 3) at plateaus (planned: evenly spaced)

Its state follows the losses, so it belongs in the checkpoint of a run. Curricula that only follow
training progress are in `staged.py`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from cgar_jax._core.depth import Depth, as_depth
from cgar_jax.curricula.depth_choice import DepthChoice, check_no_exits, strictly_increase
from cgar_jax.curricula.depth_curriculum import DepthCurriculum


@dataclasses.dataclass(frozen=True)
class PlateauDepths(DepthChoice):
    """Depths in order; the next one begins when the loss reaches a plateau.

    The losses are averaged over windows of optimizer steps. After `patience` consecutive windows
    whose mean is not below `(1 - improvement)` times the best mean so far, the next depth begins.
    From progress `latest` on, the last depth runs in any case. Made by `plateau_depth_curriculum`;
    frozen and hashable.

    Attributes:
      depths: at least two depths, each more expensive than the one before; pairs `(n, T)` become
        `Depth`.
      latest: progress at which the last depth begins at the latest, in (0, 1].
      window: fraction of training over which losses are averaged, in (0, 1]; at least one step.
      patience: number of windows without improvement that make a plateau, at least 1.
      improvement: minimum relative improvement over the best window, in (0, 1).

    Raises:
      ValueError: if the depths do not become more expensive, have early exits, or if a number is
        out of range.
    """

    depths: tuple[Depth, ...]
    latest: float
    window: float
    patience: int
    improvement: float
    stateful = True

    def __post_init__(self):
        depths = tuple(as_depth(depth) for depth in self.depths)
        check_no_exits(depths)
        costs = [depth.gradient_aware_cost for depth in depths]
        if len(depths) < 2 or not strictly_increase(costs):
            raise ValueError(
                f"the depths are {', '.join(map(str, depths))}, but there must be two or more, "
                "each more expensive than the one before, for example (2, 1), (4, 2), (6, 3)"
            )
        in_range = 0 < self.latest <= 1 and 0 < self.window <= 1 and 0 < self.improvement < 1
        if not (in_range and self.patience >= 1):
            raise ValueError(
                f"latest is {self.latest}, window is {self.window}, improvement is "
                f"{self.improvement} and patience is {self.patience}, but latest and window must "
                "be in (0, 1], improvement in (0, 1), and patience 1 or more"
            )
        object.__setattr__(self, "depths", depths)

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.depths))} at plateaus (planned: evenly spaced)"

    @property
    def draws(self) -> tuple[tuple[float, Depth], ...]:
        """All depths, each with its planned share of the optimizer steps.

        The moments of the plateaus are unknown before the run. The plan divides the time until
        `latest` equally among the depths before the last one.
        """
        before = len(self.depths) - 1
        shares = (self.latest / before,) * before + (1 - self.latest,)
        return tuple(zip(shares, self.depths, strict=True))

    def init(self, total_steps: int) -> Any:
        """Returns the state before the first optimizer step.

        Args:
          total_steps: number of optimizer steps of the run.
        """
        return self._detector(total_steps).init(jnp.float32(0))

    def choose(self, state: Any, key: jax.Array, progress: jax.Array) -> jax.Array:
        """Returns the index of the depth: the number of plateaus so far, int32 scalar.

        Args:
          state: state from `init` or `update`.
          key: unused.
          progress: fraction of training done, float32 scalar.
        """
        del key
        last = len(self.depths) - 1
        # Each plateau has halved the scale exactly, so its logarithm counts the plateaus.
        plateaus = jnp.round(-jnp.log2(state.scale)).astype(jnp.int32)
        # Progress is float32: without the tolerance, rounding could delay the last depth by a step.
        return jnp.where(progress >= self.latest - 1e-6, last, plateaus)

    def update(self, state: Any, loss: jax.Array, total_steps: int) -> Any:
        """Returns the state after an optimizer step.

        Args:
          state: state before the step.
          loss: mean answer loss of the step, float32 scalar.
          total_steps: number of optimizer steps of the run.
        """
        return self._detector(total_steps).update({}, state, value=loss)[1]

    def _detector(self, total_steps: int) -> optax.GradientTransformationExtraArgs:
        """Returns optax's plateau detector; its number of reductions selects the depth."""
        return optax.contrib.reduce_on_plateau(
            factor=0.5,
            patience=self.patience,
            rtol=self.improvement,
            accumulation_size=max(round(self.window * total_steps), 1),
            min_scale=0.5 ** (len(self.depths) - 1),
        )


def plateau_depth_curriculum(
    stages: Sequence[Depth | tuple[int, int]] = ((2, 1), (4, 2), (6, 3)),
    latest: float = 0.6,
    window: float = 0.01,
    patience: int = 6,
    improvement: float = 0.01,
) -> DepthCurriculum:
    """Returns a curriculum that moves to the next depth when the loss stops falling.

        best_k = m_k if m_k < (1 - improvement) best_(k-1) else best_(k-1)

    where `m_k` is the mean answer loss of window `k`. After `patience` windows without a new best,
    the next depth begins. From progress `latest` on, the last depth runs. Use it when good
    boundaries for `progressive_depth_curriculum` are unknown.

    Args:
      stages: at least two depths, each more expensive than the one before.
      latest: progress at which the last depth begins at the latest, in (0, 1].
      window: fraction of training over which losses are averaged, in (0, 1].
      patience: number of windows without improvement that make a plateau, at least 1.
      improvement: minimum relative improvement over the best window, in (0, 1).

    Returns:
      A `DepthCurriculum` of one stage, a `PlateauDepths`. Its cost is unknown before the run:
      `relative_cost` assumes that the depths before the last share the time until `latest` equally.

    Raises:
      ValueError: if the stages or a number are not valid, see `PlateauDepths`.

    Example:
      >>> from cgar_jax import curricula
      >>> curriculum = curricula.plateau_depth_curriculum(latest=0.6)
      >>> [str(depth) for depth in curriculum(0.5).depths]
      ['(2, 1)', '(4, 2)', '(6, 3)']

    Reference:
      This project; the detector is `optax.contrib.reduce_on_plateau`.
    """
    depths = tuple(map(as_depth, stages))
    return DepthCurriculum((PlateauDepths(depths, latest, window, patience, improvement),))
