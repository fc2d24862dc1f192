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

__all__ = [
    "LOSSES",
    "WeightAverageState",
    "averaged_params",
    "curriculum_weight_average",
    "moderate_decay_schedule",
    "online_negative_mixing",
    "rank_list_loss",
    "skip_schedule",
]

LOSSES = {loss.__name__: loss for loss in (rank_list_loss,)}
