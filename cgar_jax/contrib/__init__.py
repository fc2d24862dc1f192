"""Contrib: methods that are inspired by a paper but whose exact formula is unconfirmed.

>>> import jax.numpy as jnp
>>> from cgar_jax import contrib
>>> curriculum = contrib.rank_skip_curriculum(max_distance=3)
>>> scores, labels = jnp.zeros((1, 4)), jnp.array([[4.0, 3.0, 2.0, 1.0]])
>>> contrib.rank_list_loss(scores, labels, max_distance=curriculum(0.5)).shape
(1,)

The methods have the same interfaces as those of the other rooms. The `Reference` section of each
method names the details that are unconfirmed.

| name | result | use it for | reference |
| --- | --- | --- | --- |
| `rank_list_loss` | loss of the pairs whose ranks are near each other | ranking with a growing distance | 2508.09826 |
| `online_negative_mixing` | new negatives mixed from the hardest ones | negatives that are too easy | 2506.20923 |
| `progressive_hardness_weighting` | weights by standardized loss, which favor easy examples first and hard ones later | training from easy to hard without difficulty labels | 2311.11691 |
| `self_taught_weighting` | weights from a small network that learns to find wrong labels | wrong labels | 2412.12955 |
| `teacher_loss_selection_weighting` | only the examples of medium loss under a teacher | neither trivial nor wrong examples | 2410.18779 |
| `rank_skip_curriculum` | largest distance of ranks that is compared, growing over training | `rank_list_loss` | 2508.09826 |
| `curriculum_params_averaging` | average of the parameters of the last updates | data of rising quality, in place of a learning rate that decays to 0 | 2511.18903 |
| `moderate_decay_schedule` | learning rate that ends at 0.3 of its peak | data of rising quality | 2511.18903 |
| `learnability_quality_score` | benefit that training on each example would have had for a small proxy run | ordering data | 2506.21545 |
"""

from cgar_jax.contrib.learnability_quality import ProxyRun, learnability_quality_score
from cgar_jax.contrib.losses import rank_list_loss
from cgar_jax.contrib.negative_mixing import online_negative_mixing
from cgar_jax.contrib.params_averaging import (
    ParamsAverageState,
    averaged_params,
    curriculum_params_averaging,
    moderate_decay_schedule,
)
from cgar_jax.contrib.rank_skip import rank_skip_curriculum
from cgar_jax.contrib.self_taught import SelfTaughtState, draw_meta_batch, self_taught_weighting
from cgar_jax.contrib.weighting_by_hardness import RunningMoments, progressive_hardness_weighting
from cgar_jax.contrib.weighting_by_teacher_loss import teacher_loss_selection_weighting

__all__ = [
    "CURRICULA",
    "LOSSES",
    "SCORES",
    "WEIGHTINGS",
    "ParamsAverageState",
    "ProxyRun",
    "RunningMoments",
    "SelfTaughtState",
    "averaged_params",
    "curriculum_params_averaging",
    "draw_meta_batch",
    "learnability_quality_score",
    "moderate_decay_schedule",
    "online_negative_mixing",
    "progressive_hardness_weighting",
    "rank_list_loss",
    "rank_skip_curriculum",
    "self_taught_weighting",
    "teacher_loss_selection_weighting",
]

CURRICULA = {curriculum.__name__: curriculum for curriculum in (rank_skip_curriculum,)}

LOSSES = {loss.__name__: loss for loss in (rank_list_loss,)}

SCORES = {score.__name__: score for score in (learnability_quality_score,)}

WEIGHTINGS = {
    f.__name__: f
    for f in (
        progressive_hardness_weighting,
        self_taught_weighting,
        teacher_loss_selection_weighting,
    )
}
