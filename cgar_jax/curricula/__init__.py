"""Curricula: what changes over training. A curriculum is a callable, ``(progress) -> value``.

Progress is the fraction of training done, in [0, 1]. A curriculum has no state: where training
stands is all that it knows, so a resumed run finds its place by itself. Mixers, averages and
plateaus, which follow what training has seen, keep a state of arrays alone, for the caller's
checkpoint. How a depth is run is the recursion's business; how much each loss counts is that of
`cgar_jax.weighting`.

| name | value | use it | source | how sure |
| --- | --- | --- | --- | --- |
| `budgeted_depth_curriculum` | Depth(2, 1), (4, 2), (6, 3), as long as the FLOPs allow | a run of given cost | ours | |
| `curriculum_weight_average` | mean of the parameters of the last updates | data that gets better, in place of a rate that decays to 0 | 2511.18903 | inspired by |
| `draw_domains` | which domain each example comes from | with a mixer | | |
| `el2n_score` | norm of (softmax - one-hot) of each example | prune easy data early | 2107.07075 | certain |
| `fixed_depth_curriculum` | Depth(6, 3), always | the baseline | 2510.04871 | certain |
| `folding_order` | a data order: low to high score, several times | one pass over scored data | 2506.21545 | certain |
| `grand_score` | norm of each example's gradient | prune easy data early | 2107.07075 | certain |
| `last_layer_grand_score` | the same for the last layer, without a backward pass | large models | 2107.07075 | certain |
| `learnability_quality_score` | what training on each example would have done for a proxy run | score, then `folding_order` | 2506.21545 | inspired by |
| `moderate_decay_schedule` | a learning rate that ends at 0.3 of its peak | data that gets better | 2511.18903 | inspired by |
| `nested_depth_curriculum` | one of (6, 1), (6, 2), (6, 3), drawn at each step | a model that works at every depth, trained for less | 2309.00255 | likely: the law of the draw |
| `odm_mixer` | probabilities of domains, by a bandit on their losses | mixed sources, no validation sets | 2312.02406 | likely: the reward |
| `pacing_subset_curriculum` | share of the examples in use, easiest first | easy to hard over a run | 2212.12712 | likely: the families |
| `personal_loss_resampler` | one of each user's candidates, low losses likelier | noisy labels or augmentations | 2502.00348 | certain |
| `plateau_depth_curriculum` | Depth(2, 1), (4, 2), (6, 3), the next when the loss stops falling | you do not know when | ours | |
| `progressive_depth_curriculum` | Depth(2, 1), (4, 2), (6, 3), by progress | a cheaper run (PDC of CGAR) | 2511.08653 | certain |
| `score_pruned_sampler` | the examples of highest score | train on less | 2107.07075 | certain |
| `skill_it_mixer` | probabilities of skills, by the losses of what they help | skills that build on each other | 2307.14430 | certain |
| `skip_schedule` | K, the largest distance of ranks compared | with `contrib.rank_list_loss` | 2508.09826 | inspired by |
| `smooth_depth_curriculum` | Depth(2, 1), (3, 1), (4, 2), (5, 2), (6, 3), by progress | PDC without large steps | ours | |
| `sorted_exits_curriculum` | Depth(6, 3) read after cycles 1, 2 and 3 | a model that works at every depth | 2309.08968 | likely: the exits |

`Depth` is n latent recursions in each of T cycles. `build` makes a depth curriculum, and
`build_sampling` a `Sampling`, from the name and settings of a config. A `Sampling` is how the
trainer draws its batches: `uniform_sampling`, or by one of the above, `pacing_subset_sampling`,
`folding_sampling`, `score_pruned_sampling`, `odm_sampling` and `epoch_sampling`.
"""

from cgar_jax.curricula.depth import (
    Depth,
    DepthCurriculum,
    NestedDepths,
    PlateauDepths,
    Stage,
    StageDepth,
)
from cgar_jax.curricula.depth_curricula import (
    budgeted_depth_curriculum,
    fixed_depth_curriculum,
    nested_depth_curriculum,
    plateau_depth_curriculum,
    progressive_depth_curriculum,
    smooth_depth_curriculum,
    sorted_exits_curriculum,
)
from cgar_jax.curricula.pacing import PacingCurriculum, pacing_subset_curriculum
from cgar_jax.curricula.registry import CURRICULA, build

__all__ = [
    "CURRICULA",
    "Depth",
    "DepthCurriculum",
    "NestedDepths",
    "PacingCurriculum",
    "PlateauDepths",
    "Stage",
    "StageDepth",
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
