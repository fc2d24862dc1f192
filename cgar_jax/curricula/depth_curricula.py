"""Depth curricula: the depth grows by progress (PDC), for a budget, or at plateaus, or is drawn."""

import itertools
import math
from collections.abc import Sequence

from cgar_jax.curricula.depth import Depth, DepthCurriculum, NestedDepths, PlateauDepths, as_depth


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
    first, last = as_depth(first), as_depth(last)
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
    *shallow, last = (as_depth(stage) for stage in stages)
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


def plateau_depth_curriculum(
    stages: Sequence[Depth | tuple[int, int]] = ((2, 1), (4, 2), (6, 3)),
    latest: float = 0.6,
    window: float = 0.01,
    patience: int = 6,
    improvement: float = 0.01,
) -> DepthCurriculum:
    """Depths that grow when the loss has stopped falling, not at a moment fixed beforehand.

    With ``m_k`` the mean answer loss of window ``k``, and ``best`` the least of them that fell
    below ``(1 - improvement)`` times the one before it: after ``patience`` windows without a new
    ``best`` the next depth begins. From progress ``latest`` on it is the last.

    Args:
      stages: depths ``(n, T)``, two or more, each dearer than the one before.
      latest: progress in (0, 1] at which the last depth begins, whatever the loss does.
      window: part of training over which the loss is averaged, in (0, 1].
      patience: windows without improvement that make a plateau, at least 1.
      improvement: by which part a mean must lie below the least one to count, in (0, 1).

    Returns:
      A `DepthCurriculum` of one stage, `PlateauDepths`, whose step holds all depths. What it will
      cost is not known beforehand: `relative_cost` takes the depths before the last to share the
      time until ``latest`` evenly; what a run has spent is counted as it goes.

    Raises:
      ValueError: as `PlateauDepths`.

    Source: ours; the detector is `optax.contrib.reduce_on_plateau`.
    """
    plateaus = PlateauDepths(tuple(stages), latest, window, patience, improvement)
    return DepthCurriculum((plateaus,))


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
    depth = as_depth(depth)
    return DepthCurriculum((Depth(depth.n, depth.T, tuple(exits) or tuple(range(1, depth.T + 1))),))
