"""LDT agrees with the published PyTorch implementation: network, losses, gradients, elimination."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import losses
from cgar_jax.models import LDT, export_published, import_published
from cgar_jax.recursion.elimination import (
    EliminationRule,
    eliminate,
    has_conflict,
    pin,
    run_pass,
)
from tests import fixtures

FILE = fixtures.FOLDER / "ldt.npz"
needs_fixture = pytest.mark.skipif(not FILE.exists(), reason=f"no fixture {FILE}")


@pytest.fixture(scope="module")
def published():
    """The model of the fixture, its variables, and all arrays of the file."""
    arrays = dict(np.load(FILE))
    config = json.loads(str(arrays["config"]))
    model = LDT(
        vocab_size=config["n_channels"] + 2,
        sequence_length=config["seq_len"],
        num_symbols=config["n_channels"],
        hidden_size=config["dim"],
        num_layers=config["num_layers"],
        num_heads=config["n_heads"],
    )
    parameters = under(arrays, "param")
    return types.SimpleNamespace(
        arrays=arrays,
        config=config,
        model=model,
        parameters=parameters,
        variables=import_published(parameters, model),
    )


@pytest.fixture(scope="module", params=["step0", "step1"])
def step(request, published):
    """The arrays of one step, and our outputs, losses and gradients for its states."""
    arrays = under(published.arrays, request.param)
    (loss, (by_loop, last)), gradients = jax.jit(
        jax.value_and_grad(lambda params: published_loss(published, arrays, params), has_aux=True)
    )(published.variables["params"])
    return types.SimpleNamespace(
        arrays=arrays, loss=loss, by_loop=by_loop, last=last, gradients=gradients
    )


def under(arrays, prefix):
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def published_loss(published, arrays, params):
    """Sums our losses as the published code does: digits over all open cells of the batch."""
    config, model = published.config, published.model
    state, truth = (jnp.asarray(arrays[f"batch/{name}"]) > 0 for name in ("state", "truth"))
    conflict = jnp.asarray(arrays["batch/conflict"])
    counted = ~jnp.asarray(arrays["batch/given"]) & ~conflict[:, None]
    labels = jnp.where(truth.any(-1), truth.argmax(-1), -1)

    def read(outputs):
        keep = losses.keep_loss(
            outputs.keep_logits, state & truth, right_weight=4.0, wrong_weight=0.5
        )
        digit = losses.softmax_cross_entropy_loss(outputs.digit_logits, labels, where=counted)
        flags = losses.halting_loss(outputs.conflict_logits, conflict)
        total = (
            keep.mean()
            + config["softmax_weight"] * losses.masked_mean(digit, counted)
            + config["conflict_weight"] * flags.mean()
        )
        return total, outputs

    variables = published.variables | {"params": params}
    states = model.apply(variables, state, None, method="embed")
    _, (by_loop, outputs), last = run_pass(model, variables, state, states, config["n_loops"], read)
    return by_loop.mean(), (outputs, last)


@needs_fixture
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("keep_logits", "bce"), ("digit_logits", "softmax"), ("conflict_logits", "conflict")],
)
def test_outputs_of_every_loop_are_the_published_ones(step, ours, theirs):
    expected = step.arrays[f"out/{theirs}"]
    found = np.asarray(getattr(step.by_loop, ours)).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@needs_fixture
def test_the_loss_is_the_published_one(step):
    np.testing.assert_allclose(step.loss, step.arrays["loss"], rtol=1e-5)


@needs_fixture
def test_gradients_are_the_published_ones(published, step):
    found = export_published({"params": step.gradients}, published.model)
    expected = under(step.arrays, "grad")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        error = np.abs(found[name] - array).max() / max(np.abs(array).max(), 1e-12)
        assert error < 1e-3, name


@needs_fixture
def test_conflicts_are_the_published_ones(step):
    truth = step.arrays["batch/truth"]
    symbols = np.where(truth.any(-1), truth.argmax(-1), -1)
    found = has_conflict(jnp.asarray(step.arrays["batch/state"]) > 0, symbols)
    # Without any solution, the published code reports a conflict, ours has nothing to compare.
    known = (symbols >= 0).any(-1)
    np.testing.assert_array_equal(found[known], step.arrays["batch/conflict"][known])


@needs_fixture
def test_eliminated_candidates_and_guesses_are_the_published_ones(step):
    arrays = step.arrays
    candidates = jnp.asarray(arrays["batch/state"]) > 0
    rule = EliminationRule(
        threshold=float(arrays["eliminate/threshold"]),
        conflict_threshold=float(arrays["eliminate/cls_threshold"]),
    )
    found = eliminate(candidates, jnp.asarray(arrays["batch/given"]), step.last, rule)
    np.testing.assert_array_equal(candidates & ~found.candidates, arrays["eliminate/mask"])
    np.testing.assert_array_equal(found.conflict, arrays["eliminate/conflict"])
    np.testing.assert_array_equal(found.solved, arrays["eliminate/solved"])
    # The fixture pins the first open cell to its most probable symbol.
    cell = (found.candidates.sum(-1) > 1).argmax(-1)
    scores = jnp.where(found.candidates, step.last.digit_logits, -jnp.inf)
    symbol = scores.argmax(-1)[jnp.arange(len(cell)), cell]
    goes_on = ~found.conflict & ~found.solved & (found.candidates.sum(-1) > 1).any(-1)
    pinned = pin(found.candidates, cell, symbol, goes_on)
    np.testing.assert_array_equal(pinned, arrays["eliminate/new_state"] > 0)


@needs_fixture
def test_exported_parameters_are_the_imported_ones(published):
    exported = export_published(published.variables, published.model)
    buffers = {"backbone.row_idx", "backbone.col_idx"}
    assert exported.keys() == published.parameters.keys() - buffers
    for name, array in exported.items():
        np.testing.assert_array_equal(array, published.parameters[name], err_msg=name)


SIZES = {"vocab_size": 6, "sequence_length": 16, "num_symbols": 4, "hidden_size": 8}


def test_the_conflict_token_begins_anew_in_every_call():
    model = LDT(**SIZES, num_heads=2, num_layers=1)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 16), int), jnp.zeros(1, int))
    h = jax.random.normal(jax.random.key(1), (2, *model.state_shape))
    other = h.at[:, -1].set(7.0)
    found = [model.apply(variables, state, method="network") for state in (h, other)]
    np.testing.assert_array_equal(*found)


def test_a_board_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="12 cells are not a square number"):
        LDT(**SIZES | {"sequence_length": 12})


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="hidden_size 8 is not divisible by num_heads 3"):
        LDT(**SIZES, num_heads=3)
