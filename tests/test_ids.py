"""Ids and labels out of range take part in nothing and weigh 0, in every room and integer dtype.

The losses have the same test in `tests/losses/test_labels.py`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import contrib, losses, metrics, models, optimizers, sampling, scores, weighting
from tests.weighting.cases import CASES
from tests.weighting.cases.case import BATCH

WEIGHTINGS = weighting.WEIGHTINGS | contrib.WEIGHTINGS
DTYPES = tuple(np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))
OUTSIDE = 2  # The example whose id is out of range.
WHERE = np.arange(BATCH) != OUTSIDE
rng = np.random.default_rng(0)


def extras_of(name):
    return CASES[name].extras(CASES[name].shapes[0])


@functools.cache
def compiled(name):
    transform = WEIGHTINGS[name](**CASES[name].settings)
    first = lambda losses, extras: transform.update(  # noqa: E731
        jnp.ones_like(losses), transform.init(losses), losses, **extras
    )
    return jax.jit(first)


def updated(name, extras):
    shape = CASES[name].shapes[0]
    return compiled(name)(jnp.linspace(0.1, 2, np.prod(shape)).reshape(shape), extras)


INTEGER_EXTRAS = [
    (name, argument)
    for name in sorted(CASES)
    for argument, value in extras_of(name).items()
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu"
]


def test_the_weightings_with_ids_are_found():
    arguments = {argument for _, argument in INTEGER_EXTRAS}
    assert arguments == {
        "domain_ids",
        "labels",
        "neighbor_labels",
        "position",
        "supervision_step",
    }


@pytest.mark.parametrize(("name", "argument"), INTEGER_EXTRAS)
def test_an_id_out_of_range_weighs_nothing_and_changes_nothing_else(name, argument):
    extras = extras_of(name)
    expected = updated(name, extras | {"where": WHERE})
    from_one = argument in ("position", "supervision_step")
    beyond = [] if argument == "position" else [np.iinfo(np.int32).max]
    for outsider in (0 if from_one else -1, losses.IGNORE_LABEL, *beyond):
        ids = np.array(extras[argument], np.int32)
        ids[OUTSIDE] = outsider
        found = updated(name, extras | {argument: ids})
        assert found[0][OUTSIDE] == 0
        # Programs with other constants may round differently.
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), found, expected)


@pytest.mark.parametrize(("name", "argument"), INTEGER_EXTRAS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32], ids=lambda kind: kind.__name__)
def test_extra_arguments_may_have_any_integer_dtype(name, argument, dtype):
    extras = extras_of(name)
    found = updated(name, extras | {argument: extras[argument].astype(dtype)})
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
    jax.tree.map(close, found, updated(name, extras))


@pytest.mark.parametrize(
    ("name", "argument", "outsider"),
    [
        ("hierarchical_supervision_weighting", "supervision_step", 0),
        ("hierarchical_supervision_weighting", "supervision_step", 17),
        ("position_importance_weighting", "supervision_step", 0),
        ("position_importance_weighting", "position", -1),
    ],
)
def test_a_step_out_of_range_is_an_error_outside_of_jit_unless_it_is_masked(
    name, argument, outsider
):
    transform, steps = WEIGHTINGS[name](), np.array([1, outsider, 3])
    ones, state = jnp.ones(3), transform.init(jnp.ones(3))
    with pytest.raises(ValueError, match=f"{name}.*'{argument}' contains {outsider}, but"):
        transform.update(ones, state, ones, **{argument: steps})
    where = np.array([True, False, True])
    found, _ = transform.update(ones, state, ones, **{argument: steps}, where=where)
    assert found[0] > found[2] > found[1] == 0


NUM = 300  # more than 8 bits can count
VALUES = jnp.asarray(rng.normal(size=(4, NUM)), jnp.float32)
TABLE = jnp.asarray(rng.normal(size=(NUM, 3)), jnp.float32)


def doremi(ids, where):
    transform, some = weighting.doremi_domain_weighting(NUM), jnp.arange(1.0, 5)
    return transform.update(
        jnp.ones(4),
        transform.init(some),
        some,
        reference_losses=jnp.ones(4),
        domain_ids=ids,
        where=where,
    )


def votes(ids, where):
    return weighting.neighbor_votes(TABLE[:2], TABLE[4:8], ids, NUM, k=2, where=where)


def mixed(ids, where):
    mixer = sampling.odm_mixer(NUM)
    return mixer.update(mixer.init(), jnp.arange(1.0, 5), ids, where=where)


def sign_sgd(ids, where, table=TABLE):
    return optimizers.sparse_sign_sgd(table, ids, VALUES[:, :3], 0.1, 0.5, where=where)


def small_sign_sgd(ids, where):
    ids, gradients, where = np.tile(ids, 80), jnp.tile(VALUES[:, :3], (80, 1)), np.tile(where, 80)
    return optimizers.sparse_sign_sgd(TABLE, ids, gradients, 0.1, 0.5, where=where)


def bilevel(ids, where):
    arrays = jnp.zeros(NUM), jnp.arange(1.0, 5), jnp.ones(4), ids
    return weighting.bilevel_domain_gradient(*arrays, where=where)


def last_layer(ids, where):
    return scores.last_layer_grand_score(VALUES, ids, VALUES[:, :3], where=where)


def puzzle_rows(ids, where):
    return jnp.where(where[:, None], models.puzzle_rows(TABLE, ids), 0)


def accuracy(metric, ids, where):
    return metric(VALUES[None], np.asarray(ids)[None], where=where[None])


FUNCTIONS = {
    "bilevel_domain_gradient": bilevel,
    "cell_accuracy_metric": functools.partial(accuracy, metrics.cell_accuracy_metric),
    "doremi_domain_weighting": doremi,
    "el2n_score": lambda ids, where: scores.el2n_score(VALUES, ids, where=where),
    "exact_accuracy_metric": functools.partial(accuracy, metrics.exact_accuracy_metric),
    "last_layer_grand_score": last_layer,
    "neighbor_votes": votes,
    "odm_mixer": mixed,
    "puzzle_rows": puzzle_rows,
    "sparse_sign_sgd, few rows": small_sign_sgd,
    "sparse_sign_sgd, many rows": sign_sgd,
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
EVERY = np.ones(4, bool)


@every_function
def test_a_narrow_dtype_changes_nothing(function):
    expected = function(np.int32([1, 44, 44, 100]), EVERY)
    for dtype in DTYPES:
        found = function(np.array([1, 44, 44, 100], dtype), EVERY)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@every_function
@pytest.mark.parametrize("outsider", [-1, -100, -300, NUM, 2**31 - 1, 2**32 + 7, -(2**32)])
def test_an_id_out_of_range_is_as_good_as_masked(function, outsider):
    where = np.array([True, True, False, True])
    expected = function(np.int64([1, 44, 0, 100]), where)
    found = function(np.int64([1, 44, outsider, 100]), EVERY)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@every_function
def test_ids_must_be_integers(function):
    with pytest.raises(ValueError, match="has dtype float32"):
        function(np.float32([1, 44, 44, 100]), EVERY)


def test_ids_of_16_bits_choose_rows_of_a_table_with_70000():
    table = jnp.zeros((70_000, 3))
    found = sign_sgd(np.array([9, 9, 9, 60_000], np.uint16), EVERY, table)
    np.testing.assert_array_equal(np.unique(np.nonzero(np.asarray(found))[0]), [9, 60_000])


def test_every_metric_and_score_of_labels_is_tested():
    assert set(metrics.METRICS) - set(FUNCTIONS) == {"halting_accuracy_metric"}
    assert set(scores.SCORES) - set(FUNCTIONS) == {"grand_score"}
