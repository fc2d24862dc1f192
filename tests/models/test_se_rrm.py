"""The symbol-equivariant model: renaming symbols renames the answer, and every board fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.models import SERRM
from cgar_jax.recursion import Depth, Question, supervision_step

SMALL = {"hidden_size": 16, "num_heads": 2, "inner_size_multiple": 16, "extra_tokens": 2}
MODEL = SERRM(8, 36, **SMALL)
BATCH = 3


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 36), int), jnp.zeros(1, int))


def logits(model, variables, inputs):
    """The logits after one supervision step from the constant start."""
    (start,) = model.apply(variables, method="initial_state")
    states = (jnp.broadcast_to(start, (len(inputs), *model.state_shape)),)
    question = Question(jnp.asarray(inputs), jnp.zeros((len(inputs), 1)))
    step = jax.jit(supervision_step, static_argnums=(0, 4))
    return np.asarray(step(model, variables, question, states, Depth(1, 2))[1].logits)


def questions(vocab_size=8, cells=36):
    return np.random.default_rng(0).integers(1, vocab_size, (BATCH, cells))


def test_renaming_the_symbols_renames_the_logits(variables):
    renamed = np.array([0, 1, 5, 2, 7, 6, 4, 3])
    found = logits(MODEL, variables, renamed[questions()])
    np.testing.assert_allclose(
        found[..., renamed], logits(MODEL, variables, questions()), rtol=1e-4, atol=1e-5
    )


def test_symbols_that_no_cell_shows_get_equal_logits_and_padding_another(variables):
    shown = np.where(questions() > 5, 1, questions())
    found = logits(MODEL, variables, shown)
    np.testing.assert_allclose(found[..., 6], found[..., 7], rtol=1e-4, atol=1e-5)
    assert not np.allclose(found[..., 0], found[..., 7], atol=1e-3)


@pytest.mark.parametrize(("vocab_size", "cells"), [(6, 16), (11, 81), (18, 256)])
def test_its_parameters_run_on_other_boards(variables, vocab_size, cells):
    model = SERRM(vocab_size, cells, **SMALL)
    found = logits(model, variables, questions(vocab_size, cells)[:1])
    assert found.shape == (1, cells, vocab_size)
    assert np.isfinite(found).all()


def test_a_model_that_is_not_equivariant_has_parameters_for_each_symbol():
    model = SERRM(8, 36, **SMALL, equivariant=False)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 36), int), jnp.zeros(1, int))
    renamed = np.array([0, 1, 5, 2, 7, 6, 4, 3])
    found = logits(model, variables, renamed[questions()])
    assert not np.allclose(found[..., renamed], logits(model, variables, questions()), atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_length": 35}, "35 cells, which is no square board"),
        ({"hidden_size": 12}, "head size is 6"),
        ({"vocab_size": 2}, "vocab_size is 2"),
        ({"vocab_size": 900}, "900 tokens would need as many states for each cell; use 'trm'"),
        ({"extra_tokens": -1}, "extra_tokens is -1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SERRM(**{"vocab_size": 8, "sequence_length": 36} | SMALL | settings)
