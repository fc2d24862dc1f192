"""Curricula: what changes over training. A curriculum is a callable, ``(progress) -> value``.

Progress is the fraction of training done, in [0, 1]. A curriculum has no state: where training
stands is all that it knows, so a resumed run finds its place by itself. How a depth is run is the
recursion's business; how much each loss counts is that of `cgar_jax.weighting`.

| name                           | value                                    | arXiv      |
| ------------------------------ | ---------------------------------------- | ---------- |
| `progressive_depth_curriculum` | Depth(2, 1), (4, 2), (6, 3), by progress | 2511.08653 |
| `fixed_depth_curriculum`       | Depth(6, 3), always                      | 2510.04871 |
| `Depth`                        | n latent recursions in each of T cycles  | 2510.04871 |
| `build`                        | a curriculum from a config's name        |            |
"""

from cgar_jax.curricula.depth import (
    Depth,
    DepthCurriculum,
    Stage,
    fixed_depth_curriculum,
    progressive_depth_curriculum,
)
from cgar_jax.curricula.registry import CURRICULA, build

__all__ = [
    "CURRICULA",
    "Depth",
    "DepthCurriculum",
    "Stage",
    "build",
    "fixed_depth_curriculum",
    "progressive_depth_curriculum",
]
