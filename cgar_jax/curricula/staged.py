"""Depth curricula whose stages begin at fixed moments of training.

>>> from cgar_jax import curricula
>>> curriculum = curricula.progressive_depth_curriculum()
>>> print(curriculum(0.1), curriculum(0.4), curriculum(0.9))
(2, 1) (4, 2) (6, 3)

The depth follows training progress only, so nothing needs to be saved in a checkpoint. Curricula
that draw depths at random are in `nested.py`; one that waits for a plateau of the loss is in
`plateau.py`.
"""

import itertools
import math
from collections.abc import Sequence

from cgar_jax._core.depth import Depth, as_depth
from cgar_jax.curricula.depth_choice import as_stage_depth
from cgar_jax.curricula.depth_curriculum import DepthCurriculum


def fixed_depth_curriculum(depth: Depth | tuple[int, int] = (6, 3)) -> DepthCurriculum:
    """Returns a curriculum of constant depth.

    Use it as the baseline: this is TRM as published.

    Args:
      depth: the depth, a `Depth` or a pair `(n, T)`.

    Returns:
      A `DepthCurriculum` of one stage.

    Raises:
      ValueError: if the depth is not valid, see `Depth`.

    Example:
      >>> from cgar_jax import curricula
      >>> curricula.fixed_depth_curriculum((4, 2)).relative_cost()
      1.0

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871.
    """
    return DepthCurriculum((as_depth(depth),))


def progressive_depth_curriculum(
    stages: Sequence[Depth | tuple[int, int]] = ((2, 1), (4, 2), (6, 3)),
    boundaries: Sequence[float] = (0.3, 0.6),
) -> DepthCurriculum:
    """Returns the progressive depth curriculum (PDC) of CGAR: shallow first, then deeper.

        depth = stages[number of boundaries <= progress]

    With the defaults the depth is (2, 1) before progress 0.3, (4, 2) before 0.6 and (6, 3) after.
    Use it to train for less compute at nearly the same final accuracy.

    Args:
      stages: depths in order, each a `Depth` or a pair `(n, T)`.
      boundaries: values of progress at which the next stage begins, strictly increasing in
        [0, 1], one fewer than stages. A first boundary of 0 skips the first stage; a last boundary
        of 1 leaves no step to the last stage.

    Returns:
      A `DepthCurriculum`, which maps progress to a `Depth`.

    Raises:
      ValueError: if stages and boundaries do not fit each other, see `DepthCurriculum`.

    Example:
      >>> from cgar_jax import curricula
      >>> curriculum = curricula.progressive_depth_curriculum()
      >>> [str(curriculum(progress)) for progress in (0.0, 0.3, 1.0)]
      ['(2, 1)', '(4, 2)', '(6, 3)']

    Reference:
      Qasim and Zhang, 2025, "Accelerating Training Speed of Tiny Recursive Models via Curriculum
      Guided Adaptive Recursion", arXiv 2511.08653.
    """
    return DepthCurriculum(tuple(map(as_stage_depth, stages)), tuple(boundaries))


def smooth_depth_curriculum(
    first: Depth | tuple[int, int] = (2, 1),
    last: Depth | tuple[int, int] = (6, 3),
    end: float = 0.6,
    power: float = 1.0,
) -> DepthCurriculum:
    """Returns a curriculum that grows from the first depth to the last in the smallest steps.

        s = min(progress / end, 1)^power
        n = n_first + floor(s (n_last - n_first)),  and T likewise

    With the defaults the depths are (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), the last one from `end`
    on. Use it as PDC without large jumps. Each stage is its own program, which the trainer compiles
    in the background before the stage begins.

    Args:
      first: depth at the beginning, a `Depth` or a pair `(n, T)`.
      last: depth at the end; at least one of n and T is larger than in `first`, none smaller.
      end: progress at which the last depth begins, in (0, 1].
      power: exponent of the growth, above 0. Values above 1 prolong the shallow depths, values
        below 1 the deep ones.

    Returns:
      A `DepthCurriculum`.

    Raises:
      ValueError: if `last` is not deeper than `first`, or `end` or `power` is out of range.

    Example:
      >>> from cgar_jax import curricula
      >>> ", ".join(map(str, curricula.smooth_depth_curriculum().stages))
      '(2, 1), (3, 1), (4, 2), (5, 2), (6, 3)'

    Reference:
      This project, after the progressive depth curriculum of arXiv 2511.08653.
    """
    first, last = as_depth(first), as_depth(last)
    growth = last.n - first.n, last.T - first.T
    if min(growth) < 0 or max(growth) == 0:
        raise ValueError(
            f"the smooth curriculum goes from {first} to {last}, but the last depth must be "
            "deeper: neither n nor T may be smaller, and at least one must be larger"
        )
    if not (0 < end <= 1 and power > 0):
        raise ValueError(
            f"end is {end} and power is {power}, but end must be in (0, 1] and power above 0"
        )
    # Integer parts of the way, so that n and T that grow at the same moment share one stage.
    parts = math.lcm(*filter(None, growth))
    moments = sorted({k * parts // size for size in growth for k in range(1, size + 1)})
    stages = [
        Depth(first.n + moment * growth[0] // parts, first.T + moment * growth[1] // parts)
        for moment in (0, *moments)
    ]
    boundaries = (end * (moment / parts) ** (1 / power) for moment in moments)
    return DepthCurriculum(tuple(map(as_stage_depth, stages)), tuple(boundaries))


def budgeted_depth_curriculum(
    budget: float,
    stages: Sequence[Depth | tuple[int, int]] = ((2, 1), (4, 2), (6, 3)),
    shares: Sequence[float] = (),
) -> DepthCurriculum:
    """Returns a curriculum whose training costs a given fraction of full depth throughout.

        t sum_i shares_i cost_i / cost_last + (1 - t) = budget

    is solved for `t`, the part of training that the stages before the last one take together. Costs
    are `Depth.gradient_aware_cost`. Use it when the compute of a run is fixed in advance.

    Args:
      budget: training FLOPs relative to full depth throughout, above 0 and at most 1.
      stages: depths in order, the last one the most expensive. The stages of another curriculum,
        such as `smooth_depth_curriculum().stages`, are accepted.
      shares: share of `t` for each stage before the last, positive, summing to 1. An empty
        sequence means equal shares.

    Returns:
      A `DepthCurriculum` whose `relative_cost("gradient_aware")` is `budget`. A budget of 1 gives
      only the last stage.

    Raises:
      ValueError: if the budget is out of range or less than the shallow stages cost (the message
        names the smallest possible budget), or if `stages` or `shares` is invalid.

    Example:
      >>> from cgar_jax import curricula
      >>> curriculum = curricula.budgeted_depth_curriculum(0.5)
      >>> [round(boundary, 3) for boundary in curriculum.boundaries]
      [0.427, 0.854]

    Reference:
      This project; arXiv 2511.08653 counts FLOPs by forward calls, without the backward pass.
    """
    *shallow, last = (as_stage_depth(stage) for stage in stages)
    shares = tuple(map(float, shares)) or (1 / max(len(shallow), 1),) * len(shallow)
    if len(shares) != len(shallow) or min(shares, default=0) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares are {shares}, but there must be one positive share for each of the "
            f"{len(shallow)} stages before the last (at least one), and they must sum to 1"
        )
    costs = [stage.gradient_aware_cost / last.gradient_aware_cost for stage in shallow]
    if max(costs) >= 1:
        raise ValueError(
            f"the stages are {', '.join(map(str, stages))}, but the last one must cost more than "
            "any other; reorder them from shallow to deep"
        )
    least = sum(share * cost for share, cost in zip(shares, costs, strict=True))
    if not least <= budget <= 1:
        raise ValueError(
            f"budget is {budget}, but with these stages and shares it must be from {least:.3f} "
            "(only the shallow stages) to 1 (only the last stage)"
        )
    if budget == 1:
        return DepthCurriculum((last,))
    part = (1 - budget) / (1 - least)
    boundaries = (min(part * before, 1.0) for before in itertools.accumulate(shares))
    return DepthCurriculum((*shallow, last), tuple(boundaries))
