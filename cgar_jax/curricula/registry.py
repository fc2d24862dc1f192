"""From a config's names and settings to curricula and samplings."""

from collections.abc import Callable
from typing import Any

from cgar_jax._registry import call_by_name
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
from cgar_jax.curricula.sampling import (
    Sampling,
    epoch_sampling,
    folding_sampling,
    odm_sampling,
    pacing_subset_sampling,
    score_pruned_sampling,
    uniform_sampling,
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

SAMPLINGS: dict[str, Callable[..., Sampling]] = {
    "epoch_sampling": epoch_sampling,
    "folding_sampling": folding_sampling,
    "odm_sampling": odm_sampling,
    "pacing_subset_sampling": pacing_subset_sampling,
    "score_pruned_sampling": score_pruned_sampling,
    "uniform_sampling": uniform_sampling,
}
"""Every sampling that a config may name."""


def build(name: str, **settings: Any) -> DepthCurriculum:
    """Build the curriculum that a config names: ``build("fixed_depth_curriculum", depth=(6, 3))``.

    Args:
      name: a key of `CURRICULA`.
      **settings: its keyword arguments.

    Raises:
      ValueError: an unknown name or setting, naming the nearest right one; a setting out of range.
    """
    return call_by_name("curriculum", CURRICULA, name, settings)


def build_sampling(name: str, **settings: Any) -> Sampling:
    """Build the sampling that a config names: ``build_sampling("uniform_sampling")``.

    Args:
      name: a key of `SAMPLINGS`.
      **settings: its keyword arguments.

    Raises:
      ValueError: an unknown name or setting, naming the nearest right one; a setting out of range.
    """
    return call_by_name("sampling", SAMPLINGS, name, settings)
