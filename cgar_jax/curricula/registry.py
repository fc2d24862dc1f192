"""From a config's names and settings to depth curricula."""

from collections.abc import Callable
from typing import Any

from cgar_jax._core.registry import call_by_name
from cgar_jax.curricula.depth import DepthCurriculum
from cgar_jax.curricula.depth_curricula import (
    budgeted_depth_curriculum,
    fixed_depth_curriculum,
    nested_depth_curriculum,
    plateau_depth_curriculum,
    progressive_depth_curriculum,
    smooth_depth_curriculum,
    sorted_exits_curriculum,
)

CURRICULA: dict[str, Callable[..., DepthCurriculum]] = {
    "budgeted_depth_curriculum": budgeted_depth_curriculum,
    "fixed_depth_curriculum": fixed_depth_curriculum,
    "nested_depth_curriculum": nested_depth_curriculum,
    "plateau_depth_curriculum": plateau_depth_curriculum,
    "progressive_depth_curriculum": progressive_depth_curriculum,
    "smooth_depth_curriculum": smooth_depth_curriculum,
    "sorted_exits_curriculum": sorted_exits_curriculum,
}
"""Every depth curriculum that a config may name."""


def build(name: str, **settings: Any) -> DepthCurriculum:
    """Build the curriculum that a config names: ``build("fixed_depth_curriculum", depth=(6, 3))``.

    Args:
      name: a key of `CURRICULA`.
      **settings: its keyword arguments.

    Raises:
      ValueError: an unknown name or setting, naming the nearest right one; a setting out of range.
    """
    return call_by_name("curriculum", CURRICULA, name, settings)
