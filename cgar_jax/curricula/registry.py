"""From a config's name and settings to a curriculum."""

from collections.abc import Callable
from typing import Any

from cgar_jax._registry import call_by_name
from cgar_jax.curricula.depth import (
    DepthCurriculum,
    fixed_depth_curriculum,
    progressive_depth_curriculum,
)

CURRICULA: dict[str, Callable[..., DepthCurriculum]] = {
    "fixed_depth_curriculum": fixed_depth_curriculum,
    "progressive_depth_curriculum": progressive_depth_curriculum,
}
"""Every curriculum that a config may name."""


def build(name: str, **settings: Any) -> DepthCurriculum:
    """Build the curriculum that a config names: ``build("fixed_depth_curriculum", depth=(6, 3))``.

    Args:
      name: a key of `CURRICULA`.
      **settings: its keyword arguments.

    Raises:
      ValueError: an unknown name or setting, naming the nearest right one; a setting out of range.
    """
    return call_by_name("curriculum", CURRICULA, name, settings)
