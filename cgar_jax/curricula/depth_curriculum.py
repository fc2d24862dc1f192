"""`DepthCurriculum`: the depth of the recursion as a function of training progress.

>>> from cgar_jax.curricula import DepthCurriculum
>>> curriculum = DepthCurriculum(stages=((2, 1), (6, 3)), boundaries=(0.5,))
>>> print(curriculum(0.25), curriculum(0.75))
(2, 1) (6, 3)

A `DepthCurriculum` has stages and boundaries, turns them into optimizer steps, and computes the
cost of training. The functions that make useful curricula are in `staged.py`, `nested.py` and
`plateau.py`.
"""

import dataclasses
import itertools
import math
from typing import Any, Literal, NamedTuple

from cgar_jax._core.depth import Depth
from cgar_jax._core.registry import check_name
from cgar_jax.curricula.depth_choice import (
    DepthChoice,
    StageDepth,
    as_depth_choice,
    as_stage_depth,
    strictly_increase,
)

# A boundary this close to the progress of a step belongs to that step, so that 0.1 + 0.2 means 0.3.
# The tolerance is less than one step of any run of fewer than 1e9 steps, and far larger than the
# rounding of float64.
_TOLERANCE = 1e-9

_COSTS = {
    "paper": lambda depth: depth.network_calls,
    "gradient_aware": lambda depth: depth.gradient_aware_cost,
}


class Stage(NamedTuple):
    """One stage of a run: the optimizer steps `first_step <= step < end_step`.

    Attributes:
      depth: depth of these steps, a `Depth` or a `DepthChoice`.
      first_step: index of the first optimizer step of the stage.
      end_step: index after the last optimizer step of the stage.
    """

    depth: StageDepth
    first_step: int
    end_step: int


@dataclasses.dataclass(frozen=True)
class DepthCurriculum:
    """A depth for every moment of training, `curriculum(progress) -> Depth`.

    The functions of `cgar_jax.curricula` make useful ones. Frozen and hashable.

    Attributes:
      stages: K stages in order, each a `Depth`, a pair `(n, T)` or a `DepthChoice`.
      boundaries: K - 1 values of progress in [0, 1], increasing; the next stage begins at each.

    Raises:
      ValueError: if the number of boundaries is not one less than the number of stages, if the
        boundaries do not increase strictly within [0, 1], or if a stateful choice is not the only
        stage.

    Example:
      >>> from cgar_jax.curricula import DepthCurriculum
      >>> curriculum = DepthCurriculum(stages=((2, 1), (6, 3)), boundaries=(0.5,))
      >>> str(curriculum(0.25)), str(curriculum(0.5))
      ('(2, 1)', '(6, 3)')
      >>> [(str(stage.depth), stage.first_step) for stage in curriculum.schedule(1000)]
      [('(2, 1)', 0), ('(6, 3)', 500)]
    """

    stages: tuple[StageDepth, ...]
    boundaries: tuple[float, ...] = ()

    def __post_init__(self):
        stages = tuple(as_stage_depth(stage) for stage in self.stages)
        boundaries = tuple(float(boundary) for boundary in self.boundaries)
        if len(stages) != len(boundaries) + 1:
            raise ValueError(
                f"the curriculum has {len(stages)} stages and {len(boundaries)} boundaries, but "
                "there must be one stage more than boundaries: a boundary is the progress at which "
                "the next stage begins"
            )
        inside = all(0 <= boundary <= 1 for boundary in boundaries)
        if not (inside and strictly_increase(boundaries)):
            raise ValueError(
                f"boundaries are {boundaries}, but they must increase strictly and lie in [0, 1]"
            )
        stateful = any(isinstance(stage, DepthChoice) and stage.stateful for stage in stages)
        if len(stages) > 1 and stateful:
            raise ValueError(
                "a stage that changes its depth at plateaus must be the only stage of its "
                "curriculum; list all depths in plateau_depth_curriculum(stages=...)"
            )
        object.__setattr__(self, "stages", stages)
        object.__setattr__(self, "boundaries", boundaries)

    @property
    def full_depth(self) -> Depth:
        """The depth to evaluate with: the deepest depth of the last stage."""
        return self.stages[-1].full

    def __call__(self, progress: float) -> StageDepth:
        """Returns the depth, or the `DepthChoice`, of the stage at this progress.

        Args:
          progress: fraction of training done, a concrete number in [0, 1].

        Raises:
          ValueError: if `progress` lies outside [0, 1].
        """
        return self.stages[self.stage_index(progress)]

    def stage_index(self, progress: float) -> int:
        """Returns the index of the stage at this progress: the number of boundaries reached.

        Args:
          progress: fraction of training done, a concrete number in [0, 1].

        Raises:
          ValueError: if `progress` lies outside [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(
                f"progress is {progress}, but it must be in [0, 1]; pass step / total_steps"
            )
        return sum(progress >= boundary - _TOLERANCE for boundary in self.boundaries)

    def init(self, total_steps: int) -> Any:
        """Returns the initial state of the `DepthChoice`; it is empty for stateless curricula.

        Args:
          total_steps: number of optimizer steps of the run.
        """
        return as_depth_choice(self.stages[0]).init(total_steps)

    def schedule(self, total_steps: int) -> list[Stage]:
        """Returns the stages of a run in optimizer steps.

        A stage begins at step `ceil(boundary * total_steps)`. A stage without any step is left out.
        `curriculum(step / total_steps)` is the depth of the stage that contains `step`.

        Args:
          total_steps: number of optimizer steps of the run, at least 1.

        Raises:
          ValueError: if `total_steps` is less than 1.
        """
        if total_steps < 1:
            raise ValueError(f"total_steps is {total_steps}, but it must be 1 or more")
        inner = (math.ceil((boundary - _TOLERANCE) * total_steps) for boundary in self.boundaries)
        steps = itertools.pairwise((0, *inner, total_steps))
        return [
            Stage(depth, first, end)
            for depth, (first, end) in zip(self.stages, steps, strict=True)
            if first < end
        ]

    def relative_cost(self, count: Literal["paper", "gradient_aware"] = "paper") -> float:
        """Returns the cost of training relative to training at full depth throughout.

            sum over stages of (share of training) * cost(depth) / cost(full depth)

        Args:
          count: kind of cost. `"paper"` counts network calls, `T (n + 1)`, which is the effective
            depth because the number of layers cancels: 24.6 / 42 for PDC, the paper's 41.4 %
            reduction. It ignores that a cycle with gradient costs about three forward passes and
            every other cycle one. `"gradient_aware"` counts that: 22.7 / 35 for PDC, a reduction
            of 35.1 %.

        Raises:
          ValueError: if `count` is unknown.

        Example:
          >>> from cgar_jax import curricula
          >>> round(curricula.progressive_depth_curriculum().relative_cost("gradient_aware"), 3)
          0.649

        Reference:
          Qasim and Zhang, 2025, arXiv 2511.08653. The paper's count agrees with its 41.4 %.
        """
        check_name("count", count, _COSTS)
        cost = _COSTS[count]
        ends = itertools.pairwise((0.0, *self.boundaries, 1.0))
        shares = [end - begin for begin, end in ends]
        mean = sum(share * cost(depth) for share, depth in zip(shares, self.stages, strict=True))
        return mean / cost(self.full_depth)
