"""Methods inspired by a paper whose exact formula is unconfirmed; same interfaces as elsewhere."""

from cgar_jax.contrib.losses import rank_list_loss
from cgar_jax.contrib.negative_mixing import online_negative_mixing
from cgar_jax.contrib.params_averaging import (
    WeightAverageState,
    averaged_params,
    curriculum_weight_average,
    moderate_decay_schedule,
)
from cgar_jax.contrib.ranking import skip_schedule
from cgar_jax.contrib.self_taught import SelfTaughtState, draw_meta_batch, self_taught_weighting
from cgar_jax.contrib.weighting_by_hardness import RunningMoments, progressive_hardness_weighting
from cgar_jax.contrib.weighting_by_teacher_loss import teacher_loss_selection_weighting

__all__ = [
    "LOSSES",
    "WEIGHTINGS",
    "RunningMoments",
    "SelfTaughtState",
    "WeightAverageState",
    "averaged_params",
    "curriculum_weight_average",
    "draw_meta_batch",
    "moderate_decay_schedule",
    "online_negative_mixing",
    "progressive_hardness_weighting",
    "rank_list_loss",
    "self_taught_weighting",
    "skip_schedule",
    "teacher_loss_selection_weighting",
]

LOSSES = {loss.__name__: loss for loss in (rank_list_loss,)}

WEIGHTINGS = {
    f.__name__: f
    for f in (
        progressive_hardness_weighting,
        self_taught_weighting,
        teacher_loss_selection_weighting,
    )
}
