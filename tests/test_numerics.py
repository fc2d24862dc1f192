"""Facts about float32 arithmetic that hold for whole rooms: long and short vectors, 64-bit JAX."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import contrib, curricula, losses, metrics, sampling, scores, weighting
from tests.losses.cases import CASES as LOSS_CASES
from tests.weighting.cases import CASES as WEIGHTING_CASES

LOSSES = losses.LOSSES | contrib.LOSSES
WEIGHTINGS = weighting.WEIGHTINGS | contrib.WEIGHTINGS
SCALES = (1e-30, 1e-19, 1e-13, 1e13, 1e19, 1e30)
rng = np.random.default_rng(0)
VECTORS, OTHERS = jnp.asarray(rng.normal(size=(2, 4, 3)), jnp.float32)
NEGATIVES = jnp.asarray(rng.normal(size=(4, 2, 3)), jnp.float32)
CLASSES = jnp.array([0, 0, 1, 1])


def prototype_gaps(vectors):
    transform, ones = weighting.prototype_gap_weighting(), jnp.ones(4)
    extras = {"embeddings": vectors, "prototypes": vectors[::-1] + OTHERS * jnp.max(vectors)}
    return transform.update(ones, transform.init(ones), ones, **extras)[0]


def mixed_negatives(vectors):
    negatives = NEGATIVES * jnp.max(vectors)
    return contrib.online_negative_mixing(jax.random.key(0), vectors, negatives, 2, form="list")


# Functions of directions: the length of the vectors does not matter.
OF_DIRECTIONS = {
    "info_nce_loss": lambda x: losses.info_nce_loss(x, OTHERS, NEGATIVES * jnp.max(x)),
    "multi_similarity_loss": lambda x: losses.multi_similarity_loss(x, CLASSES),
    "neighbor_votes": lambda x: weighting.neighbor_votes(x, OTHERS * jnp.max(x), CLASSES, 2, 3)[1],
    "online_negative_mixing": mixed_negatives,
    "prototype_gap_weighting": prototype_gaps,
}


@pytest.mark.parametrize("function", OF_DIRECTIONS.values(), ids=OF_DIRECTIONS)
def test_functions_of_directions_ignore_the_lengths_of_vectors(function):
    value_and_gradient = jax.jit(lambda x: (function(x), jax.grad(lambda y: function(y).sum())(x)))
    expected, expected_gradient = value_and_gradient(VECTORS)
    for scale in SCALES:
        found, gradient = value_and_gradient(VECTORS * scale)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        gradient = np.asarray(gradient, np.float64) * scale
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-5)
    found, gradient = value_and_gradient(VECTORS.at[1].set(0))
    assert np.isfinite(found).all()
    assert np.isfinite(gradient).all()


# Functions that are proportional to the length of their vectors.
OF_LENGTHS = {
    "grand_score": lambda x: scores.grand_score(lambda p, e: p @ e, jnp.zeros(3), x),
    "last_layer_grand_score": lambda x: scores.last_layer_grand_score(VECTORS, CLASSES, x),
}


@pytest.mark.parametrize("function", OF_LENGTHS.values(), ids=OF_LENGTHS)
def test_scores_are_proportional_to_the_lengths_of_vectors(function):
    expected = np.asarray(function(VECTORS), np.float64)
    for scale in SCALES:
        np.testing.assert_allclose(function(VECTORS * scale), expected * scale, rtol=1e-5)


def test_learnability_does_not_depend_on_the_length_of_large_gradients():
    run = contrib.ProxyRun(jnp.zeros((2, 3)), VECTORS[None, :2], 0.5)
    score = functools.partial(
        contrib.learnability_quality_score, lambda p, e: p @ e, lambda p: jnp.sum(p), run
    )
    np.testing.assert_allclose(score(VECTORS * 1e25), score(VECTORS), rtol=1e-5)


def test_el2n_of_a_nearly_certain_prediction_is_not_rounded_to_zero():
    found = scores.el2n_score(jnp.array([[60.0, 0.0]]), jnp.array([0]))
    np.testing.assert_allclose(found, np.exp(-60.0), rtol=1e-5)


def test_the_distance_of_an_attack_may_have_any_length():
    clean, moves, labels = jnp.zeros((1, 3)), jnp.array([[0.0, 3.0, 4.0]]), jnp.array([0])
    settings = {"tau": 1.0, "margin": 1.0, "strength": 1.0}

    def total(attacked):
        loss = losses.smooth_adversarial_comp_sum_loss
        return loss(clean, attacked, labels, **settings).sum()

    for scale in SCALES:
        value, gradient = jax.value_and_grad(total)(moves * scale)
        np.testing.assert_allclose(value, np.log(3) + 5 * scale, rtol=1e-5)
        np.testing.assert_allclose(gradient, [[-1.4, 0.6, 0.8]], rtol=1e-5)


MILLION = 1_000_000


def kept_of_a_batch(fraction):
    losses_of_batch = jnp.arange(MILLION, dtype=jnp.float32)
    transform = weighting.pacing_subset_weighting(end_step=10, start_fraction=fraction)
    state = transform.init(losses_of_batch)
    return transform.update(jnp.ones(MILLION), state, losses_of_batch)[0]


@pytest.mark.parametrize("percent", [1, 30, 70])
def test_a_part_of_a_million_losses_is_not_off_by_one(percent):
    kept = kept_of_a_batch(percent / 100)
    assert jnp.sum(kept > 0) == percent * MILLION // 100


@pytest.mark.parametrize("percent", [1, 7, 20, 30, 55, 70, 99])
def test_a_part_of_a_million_examples_is_not_off_by_one(percent):
    curriculum = curricula.pacing_subset_curriculum(start_fraction=percent / 100)
    for progress in (0.0, jnp.float32(0)):
        assert curriculum.count(progress, MILLION) == percent * MILLION // 100


def test_quantiles_of_a_million_teacher_losses_are_not_off_by_one():
    transform = contrib.teacher_loss_selection_weighting(0.3, 0.7)
    ones, teacher = jnp.ones(MILLION + 1), jnp.arange(MILLION + 1, dtype=jnp.float32)
    kept, _ = transform.update(ones, transform.init(ones), ones, teacher_losses=teacher)
    kept = np.flatnonzero(np.asarray(kept))
    assert (kept[0], kept[-1]) == (300_000, 700_000)


def test_the_distances_of_a_long_list_are_not_off_by_one():
    curriculum = contrib.rank_skip_curriculum(max_distance=100_000)
    for percent in range(1, 100):
        assert curriculum(percent / 100) == 1 + percent * 1000


def floats(tree, dtype):
    """Returns the arrays of a tree for JAX with 64 bits: floats of one dtype, int64."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, dtype) if np.asarray(x).dtype.kind == "f" else jnp.asarray(x),
        tree,
    )


def dtypes(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


@pytest.fixture
def wide():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", sorted(LOSS_CASES))
def test_losses_are_float32_with_64_bit_jax(name, wide):
    case = LOSS_CASES[name]
    for dtype in (jnp.float32, jnp.float64):
        arguments = floats(case.arguments(np.random.default_rng(0)), dtype)
        found = jax.eval_shape(functools.partial(LOSSES[name], **case.settings), **arguments)
        assert found.dtype == (dtype if case.keeps_dtype else jnp.float32)


@pytest.mark.parametrize("name", sorted(WEIGHTING_CASES))
def test_weightings_keep_every_dtype_with_64_bit_jax(name, wide):
    case = WEIGHTING_CASES[name]
    transform = WEIGHTINGS[name](**case.settings)
    for dtype in (jnp.float32, jnp.float64):
        ones = jnp.ones(case.shapes[0], dtype)
        extras = {
            key: value if isinstance(value, jax.Array) else floats(value, dtype)
            for key, value in case.extras(case.shapes[0]).items()
        }
        state = transform.init(ones)
        weights, updated = jax.eval_shape(transform.update, ones, state, ones, **extras)
        assert weights.dtype == dtype
        assert dtypes(updated) == dtypes(state)
        assert not {leaf.dtype for leaf in jax.tree.leaves(state)} & {
            np.dtype(np.float64),
            np.dtype(np.int64),
        }
        mean, (_, info) = jax.eval_shape(
            functools.partial(weighting.weighted_mean, transform), ones, state, **extras
        )
        assert {leaf.dtype for leaf in (mean, *jax.tree.leaves(info))} == {np.dtype(np.float32)}


LOGITS, INDICES = rng.normal(size=(4, 3)), np.arange(4) % 3
FRACTIONS = np.linspace(0.1, 0.9, 4)
FLOAT32 = {
    "bilevel_domain_gradient": lambda f, i: weighting.bilevel_domain_gradient(f[:3], f, f, i),
    "cell_accuracy_metric": lambda f, i: metrics.cell_accuracy_metric(f[:, None] * f, i),
    "decoupled_pair_weights": lambda f, i: losses.decoupled_pair_weights(
        f[None], i[None] > 0, "contrastive"
    ),
    "el2n_score": lambda f, i: scores.el2n_score(f[:, None] * f, i),
    "exact_accuracy_metric": lambda f, i: metrics.exact_accuracy_metric(f[:, None] * f, i),
    "general_pair_weights": lambda f, i: losses.general_pair_weights(
        losses.multi_similarity_pair_loss, f[None], i[None] > 0
    ),
    "grand_score": lambda f, i: scores.grand_score(lambda p, e: jnp.sum(p * e), f, f[:, None]),
    "halting_accuracy_metric": lambda f, i: metrics.halting_accuracy_metric(f, i > 0),
    "inverse_rank_sum_lambdaweight": losses.inverse_rank_sum_lambdaweight,
    "last_layer_grand_score": lambda f, i: scores.last_layer_grand_score(
        f[:, None] * f, i, f[:, None]
    ),
    "learnability_quality_score": lambda f, i: contrib.learnability_quality_score(
        lambda p, e: jnp.sum(p * e), jnp.sum, contrib.ProxyRun(f[:, None], f[:3, None], 0.1), f
    ),
    "log_stablemax": lambda f, i: losses.log_stablemax(f),
    "masked_mean": lambda f, i: losses.masked_mean(f, i > 0),
    "meta_alignment": lambda f, i: weighting.meta_alignment(lambda p: p * f, f[0], f[1]),
    "min_max_ease": lambda f, i: weighting.min_max_ease(f),
    "neighbor_votes": lambda f, i: weighting.neighbor_votes(f[:, None], f[:, None], i, 3)[1],
    "odm_mixer": lambda f, i: sampling.odm_mixer(3).probabilities(
        sampling.odm_mixer(3).update(sampling.odm_mixer(3).init(), f, i)
    ),
    "online_negative_mixing": lambda f, i: contrib.online_negative_mixing(
        jax.random.key(0), f[None], f[None, None], 1
    ),
    "pair_ease": lambda f, i: weighting.pair_ease(f, f[:, None]),
    "popularity_propensity": lambda f, i: weighting.popularity_propensity(i),
    "quantile_ease": lambda f, i: weighting.quantile_ease(f),
    "reciprocal_rank_ease": lambda f, i: weighting.reciprocal_rank_ease(f),
    "shrunk_classes": lambda f, i: losses.shrunk_classes(f).confidence,
    "skill_it_mixer": lambda f, i: sampling.skill_it_mixer(f[:, None], 0.1).probabilities(
        sampling.skill_it_mixer(f[:, None], 0.1).init()
    ),
}
INT32 = {
    "draw_domains": lambda f, i: sampling.draw_domains(jax.random.key(0), f, 4),
    "draw_meta_batch": lambda f, i: contrib.draw_meta_batch(jax.random.key(0), f, 4),
    "folding_order": lambda f, i: sampling.folding_order(f),
    "neighbor_votes": lambda f, i: weighting.neighbor_votes(f[:, None], f[:, None], i, 3)[0],
    "pacing_subset_curriculum.count": lambda f, i: curricula.pacing_subset_curriculum().count(
        f[0], 10
    ),
    "pacing_subset_curriculum.order_examples": lambda f, i: (
        curricula.pacing_subset_curriculum().order_examples(f)
    ),
    "personal_loss_sampling": lambda f, i: sampling.personal_loss_sampling(
        jax.random.key(0), f[None]
    ),
    "pacing_subset_curriculum.order_examples, random": lambda f, i: (
        curricula.pacing_subset_curriculum(order="random").order_examples(f, jax.random.key(0))
    ),
    "rank_skip_curriculum": lambda f, i: contrib.rank_skip_curriculum(3)(f[0]),
    "score_pruned_order": lambda f, i: sampling.score_pruned_order(f, 0.5),
}


def test_every_score_and_metric_has_a_test_with_64_bit_jax():
    assert scores.SCORES.keys() | contrib.SCORES.keys() | metrics.METRICS.keys() <= FLOAT32.keys()


@pytest.mark.parametrize("name", sorted(FLOAT32))
def test_numbers_are_float32_with_64_bit_jax(name, wide):
    for dtype in (jnp.float32, jnp.float64):
        found = FLOAT32[name](jnp.asarray(FRACTIONS, dtype), jnp.asarray(INDICES))
        assert found.dtype == jnp.float32


@pytest.mark.parametrize("name", sorted(INT32))
def test_indices_are_int32_with_64_bit_jax(name, wide):
    found = INT32[name](jnp.asarray(FRACTIONS), jnp.asarray(INDICES))
    assert found.dtype == jnp.int32


@pytest.mark.parametrize("name", sorted(sampling.BATCH_SAMPLINGS))
def test_batches_and_states_of_samplings_keep_their_dtype_with_64_bit_jax(name, wide):
    settings = (
        {"keep": 0.5} if "keep" in inspect.signature(sampling.SAMPLINGS[name]).parameters else {}
    )
    drawer = sampling.build(name, **settings)
    request = sampling.Request(jax.random.key(0), jnp.float32(0), jnp.arange(4), jnp.ones(4, bool))
    state = drawer.init()
    rows, drawn = drawer.draw(state, request)
    updated = drawer.update(drawn, jnp.ones(4), jnp.zeros(4, int), jnp.ones(4, bool))
    assert rows.dtype == jnp.int32
    for one, other in zip(jax.tree.leaves(updated), jax.tree.leaves(state), strict=True):
        assert one.dtype == other.dtype
