"""Selection of pseudo-labels that the model and the nearest neighbors agree on.

>>> import jax.numpy as jnp
>>> from cgar_jax import weighting
>>> embeddings, labels = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]]), jnp.array([0, 1, 1])
>>> guess, agreement = weighting.neighbor_votes(embeddings, embeddings, labels, 2, k=2)
>>> print(guess, agreement)
[0 1 1] [0.5 1.  1. ]

`neighbor_votes` computes the extra arguments of `agreement_pseudo_label_weighting`. Other
weightings for unlabeled examples are in `prototypes.py` and `shrunk_class.py`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape, static_number
from cgar_jax._core.ids import known_ids
from cgar_jax._core.masking import align, valid_entries
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name
from cgar_jax.weighting._similarity import cosines, lead
from cgar_jax.weighting.base import Extras, Term, stateful


def agreement_pseudo_label_weighting(
    mode: Literal["agreement", "margin"] = "agreement",
    agreement_threshold: chex.Numeric = 0.5,
    confidence_threshold: chex.Numeric = 0.5,
    margin_threshold: chex.Numeric | None = None,
    unlabeled_weight: chex.Numeric = 1.0,
    num_classes: int | None = None,
    decay: chex.Numeric = 0.99,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Keeps an unlabeled example if its nearest neighbors confirm the prediction of the model.

    `w = 1` for labeled examples, `w = beta a_c` for unlabeled examples that are kept, and 0 for all
    others, where `beta` is `unlabeled_weight`. An example is kept if its likeliest class `c` is the
    most frequent class of its neighbors, `agreement > agreement_threshold`, and
    `p_c > confidence_threshold`. `a_c = 1` without `num_classes`; with it,
    `a_c = 10 sigmoid((mean h - h_c) / h_c)`, where `h_c` is the recent number of kept examples of
    class `c`: 5 for a class of average size, almost 10 for a rare class.

    Use it for self-training with few labels. Follow it by `unit_mean_weighting` for the paper's
    division by the sum of the weights.

    Args:
      mode: `"agreement"`, or `"margin"` to keep the examples with `p_(1) - p_(2) >
        margin_threshold` (best minus second best probability) regardless of their neighbors.
      agreement_threshold: share of the neighbors' votes, in [0, 1].
      confidence_threshold: probability of the likeliest class, in [0, 1].
      margin_threshold: difference of probabilities, in [0, 1); required with `mode="margin"`.
      unlabeled_weight: `beta`, at least 0; 0 trains on labeled examples only.
      num_classes: number of classes, to weight classes by their rarity; None, the default of the
        released code, weights all classes equally.
      decay: decay of the moving average of class counts, in [0, 1). It is ours: the paper counts
        once, at the end of a round of training.
      axis_name: mesh axis to include in the class counts, for `jax.shard_map`.

    Extra arguments:
      - `probabilities`: predictions of the model, float `[batch, classes]` or `[batch, steps,
        classes]`.
      - `is_labeled`: bool `[batch]` or the shape of the losses.
      - `neighbor_labels`: class indices, int `[batch]` or the shape of the losses, from
        `neighbor_votes`; required with `mode="agreement"`. A number that is no class agrees with
        nothing.
      - `agreement`: numbers in [0, 1], `[batch]` or the shape of the losses, from `neighbor_votes`;
        required with `mode="agreement"`.
      - `class_counts`: `h`, float `[num_classes]`, which replaces the moving average; optional.
      - `where`: mask, bool `[batch]` or the shape of the losses; masked losses get weight 0 and are
        not counted.

    Returns:
      A weighting that has, for each loss term, the moving average of the class counts, including
      the current batch.

    Raises:
      ValueError: if a setting is out of range, or `margin_threshold` is missing; at the first
        update (trace time), if an extra argument is missing or has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> pseudo, losses = weighting.agreement_pseudo_label_weighting(), jnp.ones(3)
      >>> weights, _ = pseudo.update(
      ...     jnp.ones(3),
      ...     pseudo.init(losses),
      ...     losses,
      ...     probabilities=jnp.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2]]),
      ...     is_labeled=jnp.array([True, False, False]),
      ...     neighbor_labels=jnp.array([0, 0, 1]),
      ...     agreement=jnp.array([1.0, 0.9, 0.9]),
      ... )
      >>> print(weights)
      [1. 1. 0.]

    Reference:
      Schröder and Heyer, 2024, "Self-Training for Sample-Efficient Active Learning for Text
      Classification with Pre-Trained Language Models" (HAST), EMNLP, arXiv 2406.09206, following
      the released code, which rounds the mean of `h` to whole numbers. The margin mode is common
      practice and not from the paper.
    """
    name = "agreement_pseudo_label_weighting"
    check_name("mode", mode, ("agreement", "margin"))
    check_number(name, "unlabeled_weight", unlabeled_weight, "[0, inf)")
    check_number(name, "decay", decay, "[0, 1)")
    if mode == "margin" and margin_threshold is None:
        raise ValueError(f"{name}: mode 'margin' needs the setting 'margin_threshold', in [0, 1)")
    if num_classes is not None:
        num_classes = static_number(name, "num_classes", num_classes, "[1, inf)")

    def is_trusted(term: Term, extras: Extras, probabilities: jax.Array) -> jax.Array:
        if mode == "margin":
            return lead(probabilities) > jnp.asarray(margin_threshold)
        meaning = "class indices from weighting.neighbor_votes"
        num_columns = probabilities.shape[-1]
        neighbors, known = extras.ids("neighbor_labels", meaning, num_columns, term)
        meaning = "numbers in [0, 1] from weighting.neighbor_votes"
        agreement = extras.per_loss("agreement", meaning, term)
        agreed = known & (_likeliest(probabilities, term) == neighbors)
        agreed &= agreement > agreement_threshold
        confident = probabilities.max(-1) > confidence_threshold
        return agreed & align("the probabilities", confident, agreed.shape)

    def weigh(term: Term, extras: Extras, memory: jax.Array | tuple, count: jax.Array) -> tuple:
        del count
        meaning = "an array [batch, classes] or [batch, steps, classes]"
        probabilities = extras.features("probabilities", meaning, term)
        labeled = extras.per_loss("is_labeled", "bool [batch]", term).astype(bool)
        trusted = is_trusted(term, extras, probabilities)
        kept = align("trust", trusted, term.valid.shape) & term.valid & ~labeled
        factor = jnp.asarray(unlabeled_weight, jnp.float32)
        if num_classes is not None:
            rows = probabilities.shape[:-1]
            check_shape(name, "probabilities", probabilities, (*rows, num_classes))
            guess = _likeliest(probabilities, term)
            latest = _class_counts(guess, kept, num_classes, axis_name)
            # The average needs no bias correction, because only ratios of counts are used.
            share = jnp.asarray(decay, jnp.float32)
            memory = share * jnp.asarray(memory) + (1 - share) * latest
            factor = factor * _rarity(memory, extras)[guess]
        return jnp.where(labeled, 1, jnp.where(kept, factor, 0)), memory

    def init_term(loss: jax.Array) -> jax.Array | tuple:
        del loss
        return () if num_classes is None else jnp.zeros(num_classes, jnp.float32)

    return stateful(name, init_term, weigh)


def neighbor_votes(
    embeddings: chex.Array,
    bank_embeddings: chex.Array,
    bank_labels: chex.Array,
    num_classes: int,
    k: int = 15,
    where: jax.typing.ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Computes the most frequent label among the nearest neighbors, and its share of the votes.

    The neighbors are the `k` entries of a bank with the largest cosines. Among equally frequent
    labels, the smallest class index wins.

    Use it to compute extra arguments of `agreement_pseudo_label_weighting`.

    Args:
      embeddings: features of the examples, of any length, float `[batch, features]`.
      bank_embeddings: features of the bank, float `[bank, features]`.
      bank_labels: class indices, int `[bank]`, in [0, num_classes); entries with another number do
        not vote. In the paper, they are the model's predictions for up to 16,384 other unlabeled
        examples.
      num_classes: number of classes.
      k: number of neighbors that vote, limited by the size of the bank. The paper's 15 neighbors
        include the example itself, which does not vote, so that 14 vote.
      where: mask, bool `[bank]` or `[batch, bank]`; masked entries do not vote. If the batch is the
        bank, `~jnp.eye(batch, dtype=bool)` excludes the vote of each example on itself.

    Returns:
      Labels, int32 `[batch]`, and agreement, float32 `[batch]` in [0, 1]; both are 0 without a
      voter. No gradient flows through them.

    Raises:
      ValueError: if the shapes of the arrays do not fit together, or `k` is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import weighting
      >>> bank, labels = jnp.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), jnp.array([2, 2, 0])
      >>> print(*weighting.neighbor_votes(jnp.array([[5.0, 0.0]]), bank, labels, 3, k=2))
      [2] [1.]

    Reference:
      Schröder and Heyer, EMNLP 2024, arXiv 2406.09206, following the released code.
    """
    owner = "neighbor_votes"
    check_shape(owner, "embeddings", embeddings, ("batch", "features"))
    check_shape(owner, "bank_embeddings", bank_embeddings, ("bank", jnp.shape(embeddings)[1]))
    check_shape(owner, "bank_labels", bank_labels, (jnp.shape(bank_embeddings)[0],))
    check_number(owner, "k", k, "[1, inf)")
    bank_labels, known = known_ids(owner, "bank_labels", bank_labels, num_classes)
    embeddings, bank_embeddings = map(jax.lax.stop_gradient, (embeddings, bank_embeddings))
    similarity = cosines(embeddings, bank_embeddings)
    where = jnp.asarray(True if where is None else where, bool)
    where = known & valid_entries(where if where.ndim != 1 else where[None], similarity.shape)
    num_voters = min(k, similarity.shape[1])
    nearest, places = jax.lax.top_k(jnp.where(where, similarity, -jnp.inf), num_voters)
    votes = jax.nn.one_hot(bank_labels[places], num_classes, dtype=jnp.float32)
    votes = jnp.sum(jnp.where((nearest > -jnp.inf)[..., None], votes, 0), axis=1)
    return jnp.argmax(votes, axis=-1).astype(jnp.int32), votes.max(-1) / jnp.maximum(
        votes.sum(-1), 1
    )


def _likeliest(probabilities: jax.Array, term: Term) -> jax.Array:
    """Returns the likeliest class of each loss, with the shape of the losses."""
    return align("the probabilities", jnp.argmax(probabilities, axis=-1), term.valid.shape)


def _class_counts(
    guess: jax.Array, kept: jax.Array, num_classes: int, axis_name: str | None
) -> jax.Array:
    """Returns the number of kept losses of each class."""
    counts = jax.ops.segment_sum(kept.ravel().astype(jnp.float32), guess.ravel(), num_classes)
    return counts if axis_name is None else jax.lax.psum(counts, axis_name)


def _rarity(counts: jax.Array, extras: Extras) -> jax.Array:
    """Returns the weight of each class."""
    if "class_counts" in extras:
        given = jnp.asarray(extras.get("class_counts", "[num_classes]"), jnp.float32)
        check_shape(extras.name, "the extra argument 'class_counts'", given, counts.shape)
        counts = given
    # A class with count 0 gets the limit, 10. The formula of the released code would give it
    # 10 sigmoid(1), less than a rare class, but its counts include the examples to be weighted.
    missing = jnp.mean(counts) - counts
    ratio = missing / jnp.where(counts > 0, counts, jnp.finfo(jnp.float32).tiny)
    return 10 * jax.nn.sigmoid(ratio)
