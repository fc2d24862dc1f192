"""Sampling: which examples a batch holds, in which order, and from which domain."""

from collections.abc import Callable
from typing import Any

from cgar_jax._core.registry import call_by_name
from cgar_jax.sampling.data_order import folding_order, learnability_quality_score
from cgar_jax.sampling.mixing import (
    Mixer,
    OnlineMixingState,
    SkillItState,
    draw_domains,
    odm_mixer,
    skill_it_mixer,
)
from cgar_jax.sampling.resampling import personal_loss_resampler
from cgar_jax.sampling.samplings import (
    Request,
    Sampling,
    epoch_sampling,
    folding_sampling,
    odm_sampling,
    pacing_subset_sampling,
    score_pruned_sampling,
    uniform_sampling,
)

SAMPLINGS: dict[str, Callable[..., Sampling]] = {
    function.__name__: function
    for function in (
        epoch_sampling,
        folding_sampling,
        odm_sampling,
        pacing_subset_sampling,
        score_pruned_sampling,
        uniform_sampling,
    )
}
"""Every sampling that a config may name."""


def build(name: str, **settings: Any) -> Sampling:
    """Builds the sampling that a config names.

    Args:
      name: a key of `SAMPLINGS`.
      **settings: its keyword arguments.

    Raises:
      ValueError: an unknown name or setting, naming the nearest right one; a setting out of range.
    """
    return call_by_name("sampling", SAMPLINGS, name, settings)


__all__ = [
    "SAMPLINGS",
    "Mixer",
    "OnlineMixingState",
    "Request",
    "Sampling",
    "SkillItState",
    "build",
    "draw_domains",
    "epoch_sampling",
    "folding_order",
    "folding_sampling",
    "learnability_quality_score",
    "odm_mixer",
    "odm_sampling",
    "pacing_subset_sampling",
    "personal_loss_resampler",
    "score_pruned_sampling",
    "skill_it_mixer",
    "uniform_sampling",
]
