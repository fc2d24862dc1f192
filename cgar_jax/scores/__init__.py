"""Scores: one number per example that measures how much the example matters for training.

>>> import jax.numpy as jnp
>>> from cgar_jax import sampling, scores
>>> logits = jnp.array([[5.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
>>> difficulty = scores.el2n_score(logits, jnp.array([0, 0, 1]))
>>> print(sampling.score_pruned_order(difficulty, keep=0.34))
[1]

A score is a pure function from a model's outputs (or its loss function and parameters) to float32
`[batch]`. Scores are diagnostics: no gradient flows through them. The data orders of
`cgar_jax.sampling` choose examples by their scores. `cgar_jax.contrib` has one more score,
`learnability_quality_score`.

| name | formula | use it for | reference |
| --- | --- | --- | --- |
| `el2n_score` | norm of softmax(logits) - onehot(label) | pruning easy examples early in training | 2107.07075 |
| `grand_score` | norm of the gradient of the example's loss | the same, for any loss | 2107.07075 |
| `last_layer_grand_score` | `grand_score` of a linear last layer, without a backward pass | large models | 2107.07075 |

`SCORES` lists them.
"""

from collections.abc import Callable

import jax

from cgar_jax.scores.gradient_norms import el2n_score, grand_score, last_layer_grand_score

SCORES: dict[str, Callable[..., jax.Array]] = {
    function.__name__: function for function in (el2n_score, grand_score, last_layer_grand_score)
}
"""All scores of this room."""

__all__ = ["SCORES", "el2n_score", "grand_score", "last_layer_grand_score"]
