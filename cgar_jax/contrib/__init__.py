"""Methods inspired by a paper whose exact formula is unconfirmed; same interfaces as elsewhere."""

from cgar_jax.contrib.params_averaging import (
    WeightAverageState,
    averaged_params,
    curriculum_weight_average,
    moderate_decay_schedule,
)
from cgar_jax.contrib.ranking import skip_schedule

__all__ = [
    "WeightAverageState",
    "averaged_params",
    "curriculum_weight_average",
    "moderate_decay_schedule",
    "skip_schedule",
]
