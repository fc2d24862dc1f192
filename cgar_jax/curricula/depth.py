"""The depth of the recursion, and how it changes over training: it grows (PDC), or is drawn.

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
      T: cycles; int, at least 1.
      exits: cycles after which the answer is read and supervised, increasing, the last of them T;
        by default T alone. A cycle that ends in an exit runs with gradient, the others without.

    Raises:
      ValueError: ``n`` or ``T`` is not a positive int; exits that do not increase to ``T``.

    Source: Jolicoeur-Martineau, 2025, arXiv 2510.04871; certain. For ``exits`` see
    `sorted_exits_curriculum`.
    """

    n: int
    T: int
    exits: tuple[int, ...] = ()

    def __post_init__(self):
        for name, value in (("n", self.n), ("T", self.T)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"depth ({self.n}, {self.T}): {name} is {value!r}, but it must be an int, "
                    "1 or more; the full depth of TRM is Depth(n=6, T=3)"
                )
        exits = tuple(self.exits) or (self.T,)
        if exits[-1] != self.T or not all(a < b for a, b in itertools.pairwise((0, *exits))):
            raise ValueError(
                f"depth ({self.n}, {self.T}): exits are {exits}, but they must be cycles that "
                f"increase from 1 or more to the last one, {self.T}"
            )
        object.__setattr__(self, "exits", exits)

    def __str__(self) -> str:
        early = f" exits {', '.join(map(str, self.exits))}" if len(self.exits) > 1 else ""
        return f"({self.n}, {self.T}){early}"

    @property
    def full(self) -> "Depth":
        """The depth to evaluate with: the same, read at its end alone."""
        return Depth(self.n, self.T)

    @property
    def segments(self) -> tuple["Depth", ...]:
        """One depth for each exit, run one after the other: the cycles from the exit before."""
        return tuple(
            Depth(self.n, end - begin) for begin, end in itertools.pairwise((0, *self.exits))
        )

    @property
    def draws(self) -> tuple[tuple[float, "Depth"], ...]:
        """What may run, with its probability: this depth, always. See `NestedDepths`."""
        return ((1.0, self),)

    @property
    def num_exits(self) -> int:
        """How many times a supervision step reads and supervises the answer."""
        return len(self.exits)

    @property
    def network_calls(self) -> int:
        """Forward calls of the network, ``T (n + 1)``; times its layers, the effective depth."""
        return self.T * (self.n + 1)

    @property
    def gradient_aware_cost(self) -> int:
        """Cost in forward calls, ``(T + 2 E)(n + 1)``, E exits: a backward costs two forwards."""
        return (self.T + 2 * self.num_exits) * (self.n + 1)


@dataclasses.dataclass(frozen=True)
class NestedDepths:
    """Depths of which each optimizer step draws one for its whole batch.

    Depth i is the first cycles of depth i + 1: the networks are nested, and all their parameters
    are shared. Made by `nested_depth_curriculum`; frozen and hashable.

    Attributes:
      depths: ``Depth(n, T)`` with one n and increasing T; pairs ``(n, T)`` become `Depth`.
      probabilities: of each depth, summing to 1; by default all the same.

    Raises:
      ValueError: depths that are not nested or have exits of their own; probabilities that are not
        as many, are negative or do not sum to 1.
    """

    depths: tuple[Depth, ...]
    probabilities: tuple[float, ...] = ()

    def __post_init__(self):
        depths = tuple(_as_depth(depth) for depth in self.depths)
        count = max(len(depths), 1)
        probabilities = tuple(map(float, self.probabilities)) or (1 / count,) * count
        nested = depths and all(a.n == b.n and a.T < b.T for a, b in itertools.pairwise(depths))
        if not (nested and all(depth == depth.full for depth in depths)):
            raise ValueError(
                f"the depths {', '.join(map(str, depths))} are not nested; they must have the same "
                "n, increasing T, and no exits, as (6, 1), (6, 2), (6, 3)"
            )
        proper = min(probabilities) >= 0 and abs(sum(probabilities) - 1) < 1e-6
        if len(probabilities) != len(depths) or not proper:
            raise ValueError(
                f"the probabilities of {len(depths)} depths are {probabilities}, but there must be "
                "one for each depth, 0 or more, and they must sum to 1"
            )
        object.__setattr__(self, "depths", depths)
        object.__setattr__(self, "probabilities", probabilities)

    def __str__(self) -> str:
        return " or ".join(map(str, self.depths))

    @property
    def full(self) -> Depth:
        """The depth to evaluate with: the deepest."""
        return self.depths[-1]

    @property
    def draws(self) -> tuple[tuple[float, Depth], ...]:
        """What may run, with its probability."""
        return tuple(zip(self.probabilities, self.depths, strict=True))

    @property
    def num_exits(self) -> int:
        """Each depth is read once, at its end."""
        return 1

    @property
    def network_calls(self) -> float:
        """Expected forward calls of the network, as `Depth.network_calls`."""
        return sum(probability * depth.network_calls for probability, depth in self.draws)

    @property
    def gradient_aware_cost(self) -> float:
        """Expected cost in forward calls, as `Depth.gradient_aware_cost`."""
        return sum(probability * depth.gradient_aware_cost for probability, depth in self.draws)


def _as_depth(depth: "Depth | NestedDepths | Sequence[int]") -> "Depth | NestedDepths":
    return depth if isinstance(depth, Depth | NestedDepths) else Depth(*depth)


class Stage(NamedTuple):
    """One stage of a run: ``depth`` for the optimizer steps ``first_step <= step < end_step``."""

    depth: Depth | NestedDepths
    first_step: int
    end_step: int


@dataclasses.dataclass(frozen=True)
class DepthCurriculum:
    """A depth for every moment of training: ``curriculum(progress) -> Depth`` or `NestedDepths`.

    Made by the functions below; frozen and hashable.

    Attributes:
      stages: the depths in their order, K of them; tuples ``(n, T)`` become `Depth`.
      boundaries: K - 1 floats, the progress at which the next stage begins.

    Raises:
      ValueError: no stage; not one boundary fewer than stages; boundaries that do not increase
        strictly or leave [0, 1]; a depth that is not of positive ints.
    """

    stages: tuple[Depth | NestedDepths, ...]
    boundaries: tuple[float, ...] = ()

    def __post_init__(self):
        stages = tuple(_as_depth(stage) for stage in self.stages)
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

    @property
    def full_depth(self) -> Depth:
        """The depth to evaluate with: that of the last stage, the deepest of it."""
        return self.stages[-1].full

    def __call__(self, progress: float) -> Depth | NestedDepths:
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
        """Cost of training relative to running its full depth all the time.

        ``sum over stages of (share of training) * cost(depth) / cost(full depth)``.

        Args:
          count: ``"paper"`` counts network calls, ``T (n + 1)`` (the effective depth; the layers
            cancel): 24.6 / 42 by default, the paper's 41.4 % reduction. It ignores that the cycle
            with gradient costs about three forward passes and every other cycle one.
            ``"gradient_aware"`` counts that: 22.7 / 35 by default, a reduction of 35.1 %.

        Raises:
          ValueError: another ``count``.

        Source: Qasim and Zhang, 2025, arXiv 2511.08653; the paper's count is certain by arithmetic.
        """
        check_name("count", count, _COSTS)
        cost = _COSTS[count]
        ends = itertools.pairwise((0.0, *self.boundaries, 1.0))
        shares = [end - begin for begin, end in ends]
        mean = sum(share * cost(depth) for share, depth in zip(shares, self.stages, strict=True))
        return mean / cost(self.full_depth)


_COSTS = {
    "paper": lambda depth: depth.network_calls,
    "gradient_aware": lambda depth: depth.gradient_aware_cost,
}


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


def smooth_depth_curriculum(
    first: Depth | tuple[int, int] = (2, 1),
    last: Depth | tuple[int, int] = (6, 3),
    end: float = 0.6,
    power: float = 1.0,
) -> DepthCurriculum:
    """Smooth depth curriculum: from the first depth to the last by the smallest steps there are.

    ``s = min(progress / end, 1)^power``, ``n = n_first + floor(s (n_last - n_first))``, and ``T``
    likewise: (2, 1), (3, 1), (4, 2), (5, 2), (6, 3) by default, the last from ``end`` on.

    Args:
      first: ``(n, T)`` at the beginning.
      last: ``(n, T)``, neither of them less.
      end: progress at which the last depth begins, in (0, 1].
      power: above 0; above 1 the shallow depths last longer, below 1 the deeper ones.

    Returns:
      A `DepthCurriculum`; each of its stages is a program of its own, compiled beside training.

    Raises:
      ValueError: ``last`` is not deeper than ``first``; ``end`` or ``power`` out of range.

    Source: ours, after the progressive depth curriculum of arXiv 2511.08653.
    """
    first, last = _as_depth(first), _as_depth(last)
    growth = last.n - first.n, last.T - first.T
    if min(growth) < 0 or max(growth) == 0:
        raise ValueError(
            f"a smooth curriculum from {first} to {last}: neither n nor T of the last must be "
            "less, and one of them must be more"
        )
    if not (0 < end <= 1 and power > 0):
        raise ValueError(
            f"end is {end} and power {power}, but end must be in (0, 1] and power above 0"
        )
    # In whole parts of the way, so that n and T that grow at the same moment share a stage.
    parts = math.lcm(*filter(None, growth))
    moments = sorted({k * parts // size for size in growth for k in range(1, size + 1)})
    stages = [
        Depth(first.n + moment * growth[0] // parts, first.T + moment * growth[1] // parts)
        for moment in (0, *moments)
    ]
    boundaries = (end * (moment / parts) ** (1 / power) for moment in moments)
    return DepthCurriculum(tuple(stages), tuple(boundaries))


def budgeted_depth_curriculum(
    budget: float,
    stages: Sequence[Depth | tuple[int, int]] = ((2, 1), (4, 2), (6, 3)),
    shares: Sequence[float] = (),
) -> DepthCurriculum:
    """Stages that last so long that training costs a given part of full depth throughout.

    The stages before the last take a part ``t`` of training, each its share of it:
    ``t sum_i shares_i cost_i / cost_last + (1 - t) = budget`` is solved for ``t``; costs count as
    `Depth.gradient_aware_cost`.

    Args:
      budget: relative FLOPs of training, above 0 and at most 1.
      stages: depths ``(n, T)`` in their order, the last one the dearest; those of another
        curriculum, such as `smooth_depth_curriculum`, may be given.
      shares: of the stages before the last, above 0 and summing to 1; by default all the same.

    Returns:
      A `DepthCurriculum` whose ``relative_cost("gradient_aware")`` is ``budget``; with a budget of
      1 its one stage is the last.

    Raises:
      ValueError: a budget out of range, or less than the shallow stages alone cost (the message
        has the least that can be); stages or shares that are not as above.

    Source: ours; the count of FLOPs after arXiv 2511.08653.
    """
    *shallow, last = (_as_depth(stage) for stage in stages)
    shares = tuple(map(float, shares)) or (1 / max(len(shallow), 1),) * len(shallow)
    if len(shares) != len(shallow) or min(shares, default=0) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares are {shares}, but there must be one, above 0, for each of the "
            f"{len(shallow)} stages before the last (at least one), and they must sum to 1"
        )
    costs = [stage.gradient_aware_cost / last.gradient_aware_cost for stage in shallow]
    if max(costs) >= 1:
        raise ValueError(f"of the stages {stages} the last must cost more than any other")
    least = sum(share * cost for share, cost in zip(shares, costs, strict=True))
    if not least <= budget <= 1:
        raise ValueError(
            f"budget is {budget}, but these stages and shares cost {least:.3f} (nothing but the "
            "shallow ones) to 1 (nothing but the last)"
        )
    if budget == 1:
        return DepthCurriculum((last,))
    part = (1 - budget) / (1 - least)
    boundaries = (min(part * before, 1.0) for before in itertools.accumulate(shares))
    return DepthCurriculum((*shallow, last), tuple(boundaries))


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


def nested_depth_curriculum(
    depths: Sequence[Depth | tuple[int, int]] = ((6, 1), (6, 2), (6, 3)),
    probabilities: Sequence[float] = (),
) -> DepthCurriculum:
    """Nested depths: each optimizer step draws how many cycles to run, and saves the others.

    ``i ~ probabilities; loss = loss at depths[i]``, whose expectation is
    ``sum_i probabilities[i] loss at depths[i]``. Every depth becomes a network to use by itself.

    Args:
      depths: ``(n, T)``, with one n and increasing T, so that each is the beginning of the next.
      probabilities: of each; by default all the same.

    Returns:
      A `DepthCurriculum` of one stage, `NestedDepths`. To weigh the losses of all depths instead of
      drawing one, see `sorted_exits_curriculum`.

    Raises:
      ValueError: as `NestedDepths`.

    Source: Valipour et al., SortedNet, 2023, arXiv 2309.00255 (id from memory), there over layers
    and widths; likely: that depths are drawn evenly is not confirmed. Over the cycles of a
    recursion it is ours.
    """
    return DepthCurriculum((NestedDepths(tuple(depths), tuple(probabilities)),))


def sorted_exits_curriculum(
    depth: Depth | tuple[int, int] = (6, 3), exits: Sequence[int] = ()
) -> DepthCurriculum:
    """Sorted exits: the answer is read after several cycles, and each reading is supervised.

    ``loss = 1/|E| sum_{e in E} loss after cycle e``, by the same head. The cycle that ends in an
    exit runs with gradient, so each exit more costs two more forward passes of a cycle.

    Args:
      depth: ``(n, T)``.
      exits: increasing cycles that end with T; by default all, 1 to T.

    Returns:
      A `DepthCurriculum` of one stage. Its losses are ``[batch, exits]``, for weightings too.

    Raises:
      ValueError: as `Depth`.

    Source: Kavehzadeh et al., SoFT, 2023, arXiv 2309.08968 (id from memory), there over layers;
    likely: which exits the paper takes is not confirmed. Over the cycles of a recursion it is ours.
    """
    depth = _as_depth(depth)
    return DepthCurriculum((Depth(depth.n, depth.T, tuple(exits) or tuple(range(1, depth.T + 1))),))
