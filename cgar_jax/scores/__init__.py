"""Scores: one number per example that says how hard or useful it is."""

from cgar_jax.scores.gradient_norms import (
    el2n_score,
    grand_score,
    last_layer_grand_score,
    score_pruned_sampler,
)

__all__ = ["el2n_score", "grand_score", "last_layer_grand_score", "score_pruned_sampler"]
