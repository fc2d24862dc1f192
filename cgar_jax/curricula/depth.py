"""The depth of the recursion, and how it grows over training (PDC).

A depth is static under ``jax.jit``: each stage is its own compiled step, and a shallow stage really
costs less. A traced depth would need a while loop, which has no reverse-mode gradient.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from cgar_jax._registry import check_name

# A boundary closer than this to a step's progress is at that step: 0.1 + 0.2 means 0.3. It is less
# than one step for any run of fewer than 1e9 steps, and far more than float64's rounding.
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class Depth:
    """How deep one supervision step thinks: T cycles of n latent recursions and one answer update.

    Hashable, so that it can be a static argument of a compiled function.

    Attributes:
      n: latent recursions ``z <- f(x + y + z)`` in each cycle; int, at least 1.
      T: cycles; int, at least 1. The first ``T - 1`` run without gradient, the last with.

    Raises:
      ValueError: ``n`` or ``T`` is not a positive int.

    Source: Jolicoeur-Martineau, 2025, arXiv 2510.04871; certain.
    """

    n: int
    T: int

    def __post_init__(self):
        for name, value in (("n", self.n), ("T", self.T)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"depth ({self.n}, {self.T}): {name} is {value!r}, but it must be an int, "
                    "1 or more; the full depth of TRM is Depth(n=6, T=3)"
                )

    def __str__(self) -> str:
        return f"({self.n}, {self.T})"

    @property
    def network_calls(self) -> int:
        """Forward calls of the network, ``T (n + 1)``; times its layers, the effective depth."""
        return self.T * (self.n + 1)

    @property
    def gradient_aware_cost(self) -> int:
        """Cost in forward calls, ``(T - 1)(n + 1) + 3(n + 1)``: a backward costs two forwards."""
        return (self.T + 2) * (self.n + 1)


class Stage(NamedTuple):
    """One stage of a run: ``depth`` for the optimizer steps ``first_step <= step < end_step``."""

    depth: Depth
    first_step: int
    end_step: int


@dataclasses.dataclass(frozen=True)
class DepthCurriculum:
    """A depth for every moment of training: ``curriculum(progress) -> Depth``.

    Made by `progressive_depth_curriculum` and `fixed_depth_curriculum`; frozen and hashable.

    Attributes:
      stages: the depths in their order, K of them; pairs ``(n, T)`` become `Depth`.
      boundaries: K - 1 floats, the progress at which the next stage begins.

    Raises:
      ValueError: no stage; not one boundary fewer than stages; boundaries that do not increase
        strictly or leave [0, 1]; a depth that is not of positive ints.
    """

    stages: tuple[Depth, ...]
    boundaries: tuple[float, ...] = ()

    def __post_init__(self):
        stages = tuple(s if isinstance(s, Depth) else Depth(*s) for s in self.stages)
        boundaries = tuple(float(boundary) for boundary in self.boundaries)
        if len(stages) != len(boundaries) + 1:
            raise ValueError(
                f"{len(stages)} stages and {len(boundaries)} boundaries, but there must be one "
                "stage more than boundaries; a boundary is where the next stage begins"
            )
        increase = all(a < b for a, b in itertools.pairwise(boundaries))
        if not (increase and all(0 <= boundary <= 1 for boundary in boundaries)):
            raise ValueError(
                f"boundaries are {boundaries}, but they must increase strictly and lie in [0, 1]"
            )
        object.__setattr__(self, "stages", stages)
        object.__setattr__(self, "boundaries", boundaries)

    def stage_index(self, progress: float) -> int:
        """Index of the stage at this progress: how many boundaries have been reached.

        Args:
          progress: fraction of training done, a number (not traced) in [0, 1].

        Raises:
          ValueError: ``progress`` is outside [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(
                f"progress is {progress}, but it must be in [0, 1]; pass step / total_steps"
            )
        return sum(progress >= boundary - _TOLERANCE for boundary in self.boundaries)

    def __call__(self, progress: float) -> Depth:
        """Depth of the stage at this progress, as in `stage_index`."""
        return self.stages[self.stage_index(progress)]

    def schedule(self, total_steps: int) -> list[Stage]:
        """Return the stages of a run of ``total_steps`` optimizer steps, in integer steps.

        A stage begins at step ``ceil(boundary * total_steps)``; one that has no step is left out.
        ``curriculum(step / total_steps)`` is the depth of the stage that holds ``step``.

        Raises:
          ValueError: ``total_steps`` is less than 1.
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
        """Cost of training relative to running its last stage all the time.

        ``sum over stages of (share of training) * cost(depth) / cost(last depth)``.

        Args:
          count: ``"paper"`` counts network calls, ``T (n + 1)`` (the effective depth; the layers
            cancel): 24.6 / 42 by default, the paper's 41.4 % reduction. It ignores that the cycle
            with gradient costs about three forward passes and every other cycle one.
            ``"gradient_aware"`` counts that: 22.7 / 35 by default, a reduction of 35.1 %.

        Raises:
          ValueError: another ``count``.

        Source: Qasim and Zhang, 2025, arXiv 2511.08653; the paper's count is certain by arithmetic.
        """
        costs = {
            "paper": [depth.network_calls for depth in self.stages],
            "gradient_aware": [depth.gradient_aware_cost for depth in self.stages],
        }
        check_name("count", count, costs)
        ends = itertools.pairwise((0.0, *self.boundaries, 1.0))
        shares = [end - begin for begin, end in ends]
        mean = sum(share * cost for share, cost in zip(shares, costs[count], strict=True))
        return mean / costs[count][-1]


def progressive_depth_curriculum(
    stages: Sequence[Depth | tuple[int, int]] = ((2, 1), (4, 2), (6, 3)),
    boundaries: Sequence[float] = (0.3, 0.6),
) -> DepthCurriculum:
    """Progressive depth curriculum (PDC): train shallow first, deeper as training goes on.

    ``stages[i]`` from progress ``boundaries[i - 1]`` on: (2, 1) before 0.3, (4, 2) before 0.6,
    (6, 3) after.

    Args:
      stages: depths ``(n, T)`` in their order.
      boundaries: one fewer than stages, strictly increasing in [0, 1]. With the first at 0 the
        first stage is skipped, with the last at 1 the last one has no step.

    Returns:
      A `DepthCurriculum`: ``curriculum(progress) -> Depth``.

    Raises:
      ValueError: as `DepthCurriculum`.

    Source: Qasim and Zhang, 2025, arXiv 2511.08653; certain.
    """
    return DepthCurriculum(tuple(stages), tuple(boundaries))


def fixed_depth_curriculum(depth: Depth | tuple[int, int] = (6, 3)) -> DepthCurriculum:
    """One depth throughout: the baseline, TRM as published.

    Args:
      depth: ``(n, T)``.

    Returns:
      A `DepthCurriculum` of one stage.

    Raises:
      ValueError: as `Depth`.

    Source: Jolicoeur-Martineau, 2025, arXiv 2510.04871; certain.
    """
    return DepthCurriculum((depth,))
