"""Weightings of examples without a label: how far a guessed label is to be trusted."""

from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import align, masked_mean, valid_entries
from cgar_jax._core.registry import check_name
from cgar_jax._core.shrunk_classes import shrunk_classes
from cgar_jax.weighting._transform import Extras, Term, stateful


class ClassPrototypes(NamedTuple):
    """What `prototype_gap_weighting` remembers of one loss term.

    Attributes:
      means: float32 ``[num_classes, num_features]``, moving averages of labeled embeddings.
      batches: int32 ``[num_classes]``, how many batches had a labeled example of the class.
    """

    means: jax.Array
    batches: jax.Array


class CertainFraction(NamedTuple):
    """What `shrunk_class_weighting` remembers of one loss term.

    Attributes:
      average: float32 scalar, moving average of the fraction of certain examples.
      batches: int32 scalar, how many batches had an example.
    """

    average: jax.Array
    batches: jax.Array


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
    """Keep an example without a label if its neighbors, too, say what the model says.

    ``w = 1`` with a label; without one ``w = beta a_c`` if it is kept, else 0; ``beta`` is the
    ``unlabeled_weight``. It is kept if its likeliest class c is what most neighbors are, with
    ``agreement > agreement_threshold`` and ``p_c > confidence_threshold``. ``a_c = 1`` without
    ``num_classes``, else ``a_c = 10 sigmoid((mean h - h_c) / h_c)``, ``h_c`` how often class c has
    been kept lately: 5 for a class of average size, near 10 for a rare one.

    Extra arguments of ``update``:
      probabilities: ``[batch, classes]`` or ``[batch, steps, classes]``, the model's.
      is_labeled: bool, the losses' shape or ``[batch]``.
      neighbor_labels: int, the losses' shape or ``[batch]``, see `neighbor_votes`; with
        ``mode="agreement"``.
      agreement: in [0, 1], the losses' shape or ``[batch]``, see `neighbor_votes`; with
        ``mode="agreement"``.
      class_counts: ``[num_classes]``, optional: ``h``, in place of what the state remembers.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is not counted.

    Args:
      mode: ``"margin"`` keeps the examples with ``p_(1) - p_(2) > margin_threshold``, without
        regard to neighbors: the best probability minus the second best.
      agreement_threshold: share of the neighbors.
      confidence_threshold: probability.
      margin_threshold: needed with ``mode="margin"``.
      unlabeled_weight: 0 or more, ``beta``; 0 trains on what is labeled alone.
      num_classes: weigh classes by how rare they are; None, the released default, does not.
      decay: in [0, 1), of the moving average of class counts. Ours: the paper counts once, at the
        end of a round of training.
      axis_name: the mesh axis to count classes over, too; for `jax.shard_map`.

    Returns:
      A transformation whose state holds, for each loss term, the moving average of class counts,
      the batch itself included; it multiplies the weights it is given. Put `unit_mean_weighting`
      after it for the paper's division by the sum of the weights.

    Raises:
      ValueError: a setting out of its range, or no ``margin_threshold``; at the first update (trace
        time), an extra argument that is missing or of another shape.

    Source: Schroeder and Heyer, Self-Training for Sample-Efficient Active Learning for Text
    Classification with Pre-Trained Language Models (HAST), EMNLP 2024, arXiv 2406.09206; certain
    (released code), which takes the mean of ``h`` in whole numbers. The margin is common usage.
    """
    name = "agreement_pseudo_label_weighting"
    check_name("mode", mode, ("agreement", "margin"))
    check_number(name, "unlabeled_weight", unlabeled_weight, "[0, inf)")
    check_number(name, "decay", decay, "[0, 1)")
    if mode == "margin" and margin_threshold is None:
        raise ValueError(f"{name}: mode 'margin' needs the setting 'margin_threshold', in [0, 1)")
    if num_classes is not None:
        check_number(name, "num_classes", num_classes, "[1, inf)")

    def is_trusted(term: Term, extras: Extras, probabilities: jax.Array) -> jax.Array:
        if mode == "margin":
            return _gap(probabilities) > margin_threshold
        neighbors = extras.per_loss("neighbor_labels", "int, see neighbor_votes", term)
        agreement = extras.per_loss("agreement", "in [0, 1], see neighbor_votes", term)
        agreed = (_likeliest(probabilities, term) == neighbors) & (agreement > agreement_threshold)
        confident = probabilities.max(-1) > confidence_threshold
        return agreed & align("the probabilities", confident, agreed.shape)

    def weigh(term: Term, extras: Extras, counts: jax.Array | tuple, _: jax.Array) -> tuple:
        meaning = "[batch, classes] or [batch, steps, classes]"
        probabilities = extras.features("probabilities", meaning, term)
        labeled = extras.per_loss("is_labeled", "bool", term).astype(bool)
        trusted = is_trusted(term, extras, probabilities)
        kept = align("trust", trusted, term.valid.shape) & term.valid & ~labeled
        factor = jnp.asarray(unlabeled_weight, jnp.float32)
        if num_classes is not None:
            check_shape(
                name, "probabilities", probabilities, (*probabilities.shape[:-1], num_classes)
            )
            guess = _likeliest(probabilities, term)
            counts = _average_counts(counts, guess, kept, num_classes, decay, axis_name)
            factor = factor * _rarity(counts, extras)[guess]
        return jnp.where(labeled, 1, jnp.where(kept, factor, 0)), counts

    def init_term(loss: jax.Array) -> jax.Array | tuple:
        del loss
        return () if num_classes is None else jnp.zeros(num_classes, jnp.float32)

    return stateful(name, init_term, weigh)


def prototype_gap_weighting(
    num_classes: int | None = None,
    num_features: int | None = None,
    decay: chex.Numeric = 0.9,
    axis_name: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Weight each loss by how much nearer its example is to one class than to any other.

    ``w = s_(1) - s_(2)``, the best cosine between the embedding and a class prototype minus the
    second best: in [0, 2], 0 for what lies between two classes, as examples of no known class do.
    With one class ``w = max(s_(1), 0)``.

    Extra arguments of ``update``:
      embeddings: ``[batch, features]`` or ``[batch, steps, features]``, of a frozen or averaged
        model; of any length.
      prototypes: ``[classes, features]``, of any length; needed, and used, without ``num_classes``.
      labels: int, ``embeddings`` without its last axis or ``[batch]``; needed with ``num_classes``,
        where ``is_labeled``.
      is_labeled: bool, as ``labels``; needed with ``num_classes``. Labeled examples have weight 1.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no prototype.

    Args:
      num_classes: learn the prototypes: moving averages of the mean embeddings of each class in the
        labeled part of the batch, the batch itself included. A class that has had no labeled
        example is none. To let an example with a guessed label count from now on, as the paper does
        round after round, pass it as labeled.
      num_features: of the embeddings; needed with ``num_classes``.
      decay: in [0, 1), of the moving averages; ours: the paper computes them anew in each round.
      axis_name: the mesh axis to average embeddings over, too; for `jax.shard_map`.

    Returns:
      A transformation whose state holds a `ClassPrototypes` for each loss term, with
      ``num_classes``; it multiplies the weights it is given.

    Raises:
      ValueError: a setting out of its range, or one of ``num_classes`` and ``num_features`` without
        the other; at the first update (trace time), an extra argument that is missing or of another
        shape.

    Source: Du, Zhao, Sheng, Li, Chen, Semi-Supervised Learning via Weight-aware Distillation under
    Class Distribution Mismatch (WAD), ICCV 2023, arXiv 2308.11874; certain (released code, there
    ``s_(1) (1 - s_(2) / s_(1))``), for one view of each example: the code adds up the cosines of
    several. The paper's derivation from mutual information is not reproduced.
    """
    name = "prototype_gap_weighting"
    check_number(name, "decay", decay, "[0, 1)")
    if (num_classes is None) != (num_features is None):
        raise ValueError(
            f"{name}: num_classes is {num_classes} and num_features is {num_features}; give both, "
            "or neither and the extra argument 'prototypes'"
        )

    def init_term(loss: jax.Array) -> ClassPrototypes | tuple:
        del loss
        if num_classes is None:
            return ()
        means = jnp.zeros((num_classes, num_features), jnp.float32)
        return ClassPrototypes(means, jnp.zeros(num_classes, jnp.int32))

    def weigh(term: Term, extras: Extras, memory: ClassPrototypes | tuple, _: jax.Array) -> tuple:
        meaning = "[batch, features] or [batch, steps, features]"
        embeddings = extras.features("embeddings", meaning, term)
        rows = embeddings.shape[:-1]
        labeled = jnp.zeros(rows, bool)
        if num_classes is not None or "is_labeled" in extras:
            labeled = extras.get("is_labeled", "bool")
            labeled = align(f"{name}: the extra argument 'is_labeled'", labeled, rows).astype(bool)
        if num_classes is None:
            means = jnp.asarray(extras.get("prototypes", "[classes, features]"), jnp.float32)
            check_shape(name, "prototypes", means, ("classes", embeddings.shape[-1]))
            known = jnp.ones(means.shape[0], bool)
        else:
            check_shape(name, "embeddings", embeddings, (*rows, num_features))
            labels = extras.get("labels", "int")
            labels = align(f"{name}: the extra argument 'labels'", labels, rows)
            counted = labeled & _any_valid(term, rows)
            memory = _learn(memory, embeddings, labels, counted, decay, axis_name)
            means, known = memory.means, memory.batches > 0
        return jnp.where(labeled, 1, _gap(_cosines(embeddings, means), known)), memory

    return stateful(name, init_term, weigh)


def shrunk_class_weighting(
    threshold: chex.Numeric = 0.95, decay: chex.Numeric = 0.999, axis_name: str | None = None
) -> optax.GradientTransformationExtraArgs:
    """Weight each uncertain example's loss by what is left of it once classes in doubt are dropped.

    ``w = q_1 [reached] f``: ``q_1`` the probability of the likeliest class, ``[reached]`` 1 if it
    is at least the threshold among the classes that `cgar_jax.losses.shrunk_classes` keeps, else 0,
    ``f`` the moving average of the fraction of certain examples. The certain have weight 0.

    It is for the term of `cgar_jax.losses.shrunk_class_consistency_loss`, with its threshold.

    Extra arguments of ``update``:
      weak_probabilities: ``[batch, classes]`` or ``[batch, steps, classes]``, of the weakly
        augmented view.
      where: bool, the losses' shape or ``[batch]``; False gets weight 0 and is in no statistic.

    Args:
      threshold: in (0, 1], ``tau`` in the paper.
      decay: in [0, 1), of the moving average, which starts as the fraction of the first batch.
      axis_name: the mesh axis to take the fraction over, too; for `jax.shard_map`.

    Returns:
      A transformation whose state holds a `CertainFraction` for each loss term; it multiplies the
      weights it is given.

    Raises:
      ValueError: a setting out of its range; at the first update (trace time), probabilities that
        are missing or of another shape.

    Source: Yang et al., Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning
    (ShrinkMatch), ICCV 2023, arXiv 2308.06777; certain (released code): its two principles of
    reweighting.
    """
    name = "shrunk_class_weighting"
    check_number(name, "threshold", threshold, "(0, 1]")
    check_number(name, "decay", decay, "[0, 1)")

    def init_term(loss: jax.Array) -> CertainFraction:
        del loss
        return CertainFraction(jnp.zeros([], jnp.float32), jnp.zeros([], jnp.int32))

    def weigh(term: Term, extras: Extras, memory: CertainFraction, _: jax.Array) -> tuple:
        meaning = "[batch, classes] or [batch, steps, classes]"
        probabilities = extras.features("weak_probabilities", meaning, term)
        spaces = shrunk_classes(probabilities, threshold)
        valid = _any_valid(term, spaces.certain.shape)
        fraction = masked_mean(spaces.certain, valid, axis_name=axis_name)
        rows = jnp.sum(valid) if axis_name is None else jax.lax.psum(jnp.sum(valid), axis_name)
        average = _average(memory.average, fraction, memory.batches, decay)
        memory = CertainFraction(
            jnp.where(rows > 0, average, memory.average), memory.batches + (rows > 0)
        )
        return jnp.where(spaces.reached, spaces.confidence * memory.average, 0), memory

    return stateful(name, init_term, weigh)


def neighbor_votes(
    embeddings: chex.Array,
    bank_embeddings: chex.Array,
    bank_labels: chex.Array,
    num_classes: int,
    k: int = 15,
    where: jax.typing.ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Let the nearest of a bank of examples vote on the label of each.

    The label is the most frequent one among the ``k`` with the largest cosine, of equals the first
    class; the agreement is its share of the votes.

    Args:
      embeddings: ``[batch, features]``, of any length.
      bank_embeddings: ``[bank, features]``.
      bank_labels: int ``[bank]``, in ``0 .. num_classes - 1``. In the paper they are what the model
        predicts for other examples without a label, up to 16,384 of them.
      num_classes: the number of classes.
      k: how many vote, if the bank has as many. The paper's 15 nearest count the example itself,
        which does not vote: 14 do.
      where: bool, ``[bank]`` or ``[batch, bank]``; False does not vote. If the batch is the bank,
        ``~jnp.eye(batch, dtype=bool)`` keeps each from voting on itself.

    Returns:
      Labels, int32 ``[batch]``, and agreement, float32 ``[batch]``, in [0, 1]: the extra arguments
      ``neighbor_labels`` and ``agreement`` of `agreement_pseudo_label_weighting`. Label 0 and
      agreement 0 where nobody votes. Neither has a gradient.

    Raises:
      ValueError: shapes that do not fit together.

    Source: Schroeder and Heyer, EMNLP 2024, arXiv 2406.09206; certain (released code).
    """
    owner = "neighbor_votes"
    check_shape(owner, "embeddings", embeddings, ("batch", "features"))
    check_shape(owner, "bank_embeddings", bank_embeddings, ("bank", embeddings.shape[1]))
    check_shape(owner, "bank_labels", bank_labels, (bank_embeddings.shape[0],))
    check_number(owner, "k", k, "[1, inf)")
    embeddings, bank_embeddings = map(jax.lax.stop_gradient, (embeddings, bank_embeddings))
    cosines = _cosines(embeddings, bank_embeddings)
    where = jnp.asarray(True if where is None else where, bool)
    where = valid_entries(where if where.ndim != 1 else where[None], cosines.shape)
    nearest, places = jax.lax.top_k(jnp.where(where, cosines, -jnp.inf), min(k, cosines.shape[1]))
    votes = jax.nn.one_hot(jnp.asarray(bank_labels)[places], num_classes, dtype=jnp.float32)
    votes = jnp.sum(jnp.where((nearest > -jnp.inf)[..., None], votes, 0), axis=1)
    return jnp.argmax(votes, axis=-1), votes.max(-1) / jnp.maximum(votes.sum(-1), 1)


def _likeliest(probabilities: jax.Array, term: Term) -> jax.Array:
    """Return the likeliest class of each loss, with the losses' shape."""
    return align("the probabilities", jnp.argmax(probabilities, axis=-1), term.valid.shape)


def _any_valid(term: Term, rows: tuple[int, ...]) -> jax.Array:
    """Return which rows, whose axes are the first of the losses', have a loss that counts."""
    return term.valid.any(axis=tuple(range(len(rows), term.valid.ndim)))


def _gap(scores: jax.Array, known: jax.typing.ArrayLike = True) -> jax.Array:
    """Return the best score minus the second best; the best, or 0, where there is no second."""
    scores = jnp.where(known, scores, -jnp.inf)
    scores = jnp.pad(scores, [(0, 0)] * (scores.ndim - 1) + [(0, 1)], constant_values=-jnp.inf)
    best = jax.lax.top_k(scores, 2)[0]
    best = jnp.where(best > -jnp.inf, best, 0)
    return jnp.maximum(best[..., 0] - best[..., 1], 0)


def _cosines(vectors: jax.Array, others: jax.Array) -> jax.Array:
    """Return the cosine of each vector with each of the others, float32; that of zeros is 0."""
    unit = []
    for array in (vectors, others):
        array = jnp.asarray(array, jnp.float32)
        length = jnp.linalg.norm(array, axis=-1, keepdims=True)
        unit.append(array / jnp.where(length > 0, length, 1))
    # Accelerators multiply float32 matrices with less precision, unless told otherwise.
    return jnp.matmul(unit[0], unit[1].T, precision="highest")


def _average(average, latest, batches, decay):
    """Return the moving average, which the first batch starts."""
    decay = jnp.asarray(decay, jnp.float32)
    return jnp.where(batches > 0, decay * average + (1 - decay) * latest, latest)


def _average_counts(counts, guess, kept, num_classes, decay, axis_name):
    """Return the moving average of how often each class is kept."""
    latest = jax.ops.segment_sum(kept.ravel().astype(jnp.float32), guess.ravel(), num_classes)
    latest = latest if axis_name is None else jax.lax.psum(latest, axis_name)
    # It starts from zeros, without a correction: only the ratio of a class to the mean is used.
    decay = jnp.asarray(decay, jnp.float32)
    return decay * counts + (1 - decay) * latest


def _rarity(counts: jax.Array, extras: Extras) -> jax.Array:
    """Return the weight of each class."""
    if "class_counts" in extras:
        given = jnp.asarray(extras.get("class_counts", "[num_classes]"), jnp.float32)
        check_shape(extras.name, "the extra argument 'class_counts'", given, counts.shape)
        counts = given
    # A class without any count is the limit, 10. The released code would give it 10 sigmoid(1),
    # less than a class with few, but there the counts include what is weighed.
    missing = jnp.mean(counts) - counts
    ratio = missing / jnp.where(counts > 0, counts, jnp.finfo(jnp.float32).tiny)
    return 10 * jax.nn.sigmoid(ratio)


def _learn(
    memory: ClassPrototypes,
    embeddings: jax.Array,
    labels: jax.Array,
    counted: jax.Array,
    decay: chex.Numeric,
    axis_name: str | None,
) -> ClassPrototypes:
    """Return the prototypes after a batch, of which the rows that are counted have labels."""
    num_classes, num_features = memory.means.shape
    labels = jnp.where(counted, labels, num_classes).ravel()  # Others: a segment that is dropped.
    totals = jax.ops.segment_sum(embeddings.reshape(-1, num_features), labels, num_classes)
    counts = jax.ops.segment_sum(jnp.ones(labels.shape, jnp.float32), labels, num_classes)
    if axis_name is not None:
        totals, counts = jax.lax.psum((totals, counts), axis_name)
    present = counts > 0
    latest = totals / jnp.maximum(counts, 1)[:, None]
    average = _average(memory.means, latest, memory.batches[:, None], decay)
    means = jnp.where(present[:, None], average, memory.means)
    return ClassPrototypes(means, memory.batches + present)
