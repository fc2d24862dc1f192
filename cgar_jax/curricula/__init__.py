"""Curricula: settings that change over the course of training.

>>> from cgar_jax import curricula
>>> curriculum = curricula.progressive_depth_curriculum(boundaries=(0.3, 0.6))
>>> curriculum(0.5)
Depth(n=4, T=2, exits=(2,))
>>> round(curriculum.relative_cost("gradient_aware"), 3)
0.649

A curriculum is a callable `(progress) -> value`, where progress is the fraction of training done,
in [0, 1]. A depth curriculum gives the depth of the recursion; a pacing curriculum gives the share
of the training examples in use. Only `plateau_depth_curriculum` has a state, a pytree of arrays for
the checkpoint. How a depth runs is described in `cgar_jax.recursion`, and which examples are drawn
in `cgar_jax.sampling`; curricula whose formula is unconfirmed are in `cgar_jax.contrib`.

| name | value | use it for | reference |
| --- | --- | --- | --- |
| `fixed_depth_curriculum` | constant depth | the baseline, TRM as published | 2510.04871 |
| `progressive_depth_curriculum` | deeper depths at fixed moments (PDC of CGAR) | cheaper training | 2511.08653 |
| `smooth_depth_curriculum` | depths that grow in the smallest steps | PDC without large jumps | this project |
| `budgeted_depth_curriculum` | PDC with boundaries solved for a given cost | a fixed compute budget | this project |
| `plateau_depth_curriculum` | the next depth whenever the loss stops falling | unknown boundaries | this project |
| `nested_depth_curriculum` | one of several nested depths, drawn at each step | one model for every depth, trained for less | 2309.00255 |
| `sorted_exits_curriculum` | one depth whose answer is supervised after several cycles | one model for every depth | 2309.08968 |
| `pacing_subset_curriculum` | share of the training examples in use, easiest first | training from easy to hard | 2212.12712 |

`Depth` is a value: n latent recursions in each of T cycles. A `DepthCurriculum` has stages, each a
`Depth` or a `DepthChoice` among several. `CURRICULA` lists all curricula, `DEPTH_CURRICULA` those
that a config may name, and `build` makes one from its name and settings.
"""

from collections.abc import Callable
from typing import Any

from cgar_jax._core.depth import Depth
from cgar_jax._core.pacing import PacingCurriculum
from cgar_jax._core.registry import call_by_name
from cgar_jax.curricula.depth_choice import (
    DepthChoice,
    FixedDepth,
    StageDepth,
    as_depth_choice,
)
from cgar_jax.curricula.depth_curriculum import DepthCurriculum, Stage
from cgar_jax.curricula.nested import (
    NestedDepths,
    nested_depth_curriculum,
    sorted_exits_curriculum,
)
from cgar_jax.curricula.pacing import pacing_subset_curriculum
from cgar_jax.curricula.plateau import PlateauDepths, plateau_depth_curriculum
from cgar_jax.curricula.staged import (
    budgeted_depth_curriculum,
    fixed_depth_curriculum,
    progressive_depth_curriculum,
    smooth_depth_curriculum,
)

DEPTH_CURRICULA: dict[str, Callable[..., DepthCurriculum]] = {
    function.__name__: function
    for function in (
        budgeted_depth_curriculum,
        fixed_depth_curriculum,
        nested_depth_curriculum,
        plateau_depth_curriculum,
        progressive_depth_curriculum,
        smooth_depth_curriculum,
        sorted_exits_curriculum,
    )
}
"""The curricula that a config may name: those that return a `DepthCurriculum`."""

CURRICULA: dict[str, Callable[..., Any]] = {
    **DEPTH_CURRICULA,
    "pacing_subset_curriculum": pacing_subset_curriculum,
}
"""All curricula of this room."""


def build(name: str, **settings: Any) -> DepthCurriculum:
    """Returns the depth curriculum that a config names.

    Args:
      name: a key of `DEPTH_CURRICULA`.
      **settings: keyword arguments of that function.

    Returns:
      A `DepthCurriculum`.

    Raises:
      ValueError: if the name or a setting is unknown (the message suggests the nearest one), or a
        setting is out of range.

    Example:
      >>> from cgar_jax import curricula
      >>> str(curricula.build("fixed_depth_curriculum", depth=(6, 3)).full_depth)
      '(6, 3)'
    """
    return call_by_name("curriculum", DEPTH_CURRICULA, name, settings)


__all__ = [
    "CURRICULA",
    "DEPTH_CURRICULA",
    "Depth",
    "DepthChoice",
    "DepthCurriculum",
    "FixedDepth",
    "NestedDepths",
    "PacingCurriculum",
    "PlateauDepths",
    "Stage",
    "StageDepth",
    "as_depth_choice",
    "budgeted_depth_curriculum",
    "build",
    "fixed_depth_curriculum",
    "nested_depth_curriculum",
    "pacing_subset_curriculum",
    "plateau_depth_curriculum",
    "progressive_depth_curriculum",
    "smooth_depth_curriculum",
    "sorted_exits_curriculum",
]
