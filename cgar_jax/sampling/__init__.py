"""Sampling: the choice of the examples of each batch, their order, and their domains.

>>> import jax.numpy as jnp
>>> from cgar_jax import sampling
>>> mixer = sampling.odm_mixer(num_domains=2, warmup_steps=0)
>>> state = mixer.update(mixer.init(), jnp.array([0.1, 3.0]), jnp.array([0, 1]))
>>> mixer.probabilities(state).shape
(2,)

The suffix of a name shows its kind. A `*_sampling` chooses examples; the trainer draws its batches
with those that return a `Sampling`. A `*_order` is a function from scores to indices. A `*_mixer`
gives probabilities of domains that follow the losses; `draw_domains` draws from them. All functions
are pure, and states consist of arrays only. Scores to order by are in `cgar_jax.scores`.

| name | result | use it for | reference |
| --- | --- | --- | --- |
| `uniform_sampling` | uniform draws with replacement | the baseline | |
| `epoch_sampling` | every puzzle once per epoch, in random order | small training sets | 2506.21734 |
| `pacing_subset_sampling` | the easiest examples first, more and more of them | training from easy to hard | 2212.12712 |
| `folding_sampling` | every example in the order of `folding_order` | one pass over scored data | 2506.21545 |
| `score_pruned_sampling` | the hardest examples only | training on fewer examples | 2107.07075 |
| `odm_sampling` | more from the levels of difficulty with higher losses | mixed difficulty | 2312.02406 |
| `personal_loss_sampling` | one of each user's candidates, low losses more often | noisy labels or augmentations | 2502.00348 |
| `folding_order` | low to high score, several times | one pass over scored data | 2506.21545 |
| `score_pruned_order` | the examples of highest score | training on fewer examples | 2107.07075 |
| `odm_mixer` | probabilities from a bandit on the losses | mixed sources without validation sets | 2312.02406 |
| `skill_it_mixer` | higher probabilities for skills whose training helps targets of high loss | skills that build on each other | 2307.14430 |

`SAMPLINGS`, `ORDERS` and `MIXERS` list them; `BATCH_SAMPLINGS` lists the samplings that a config
may name, and `build` makes one from its name and settings.
"""

from collections.abc import Callable
from typing import Any

import jax

from cgar_jax._core.registry import call_by_name
from cgar_jax.sampling.mixers import (
    Mixer,
    OnlineMixingState,
    SkillItState,
    draw_domains,
    odm_mixer,
    skill_it_mixer,
)
from cgar_jax.sampling.orders import folding_order, score_pruned_order
from cgar_jax.sampling.personal_loss import personal_loss_sampling
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

MIXERS: dict[str, Callable[..., Mixer]] = {
    function.__name__: function for function in (odm_mixer, skill_it_mixer)
}
"""All mixers of this room."""

ORDERS: dict[str, Callable[..., jax.Array]] = {
    function.__name__: function for function in (folding_order, score_pruned_order)
}
"""All data orders of this room."""

BATCH_SAMPLINGS: dict[str, Callable[..., Sampling]] = {
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
"""The samplings that a config may name: those that return a `Sampling`."""

SAMPLINGS: dict[str, Callable[..., Any]] = {
    **BATCH_SAMPLINGS,
    "personal_loss_sampling": personal_loss_sampling,
}
"""All samplings of this room."""


def build(name: str, **settings: Any) -> Sampling:
    """Returns the sampling that a config names.

    Args:
      name: a key of `BATCH_SAMPLINGS`.
      **settings: keyword arguments of that function.

    Returns:
      A `Sampling`.

    Raises:
      ValueError: if the name or a setting is unknown (the message suggests the nearest one), or a
        setting is out of range.

    Example:
      >>> import numpy as np
      >>> from cgar_jax import sampling
      >>> print(sampling.build("folding_sampling", folds=2).order(np.arange(4.0)))
      [0 2 1 3]
    """
    return call_by_name("sampling", BATCH_SAMPLINGS, name, settings)


__all__ = [
    "BATCH_SAMPLINGS",
    "MIXERS",
    "ORDERS",
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
    "odm_mixer",
    "odm_sampling",
    "pacing_subset_sampling",
    "personal_loss_sampling",
    "score_pruned_order",
    "score_pruned_sampling",
    "skill_it_mixer",
    "uniform_sampling",
]
