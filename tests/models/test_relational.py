"""The relational network: its symmetries, and its freedom from board sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.data import rules_of
from cgar_jax.data.families.sudoku.grid import Grid
from cgar_jax.models import build
from cgar_jax.recursion.elimination import run_pass
from tests.models import contract

SMALL = {"name": "relational", "hidden_size": 8, "inner_size_multiple": 8}
RULES = rules_of("sudoku")


def model_of(size):
    cells = size * size
    task = {"vocab_size": size + 2, "sequence_length": cells, "num_puzzle_identifiers": 1}
    return build(SMALL, RULES.relations(cells), size, **task)


@pytest.fixture(scope="module")
def variables():
    model = model_of(9)
    fresh = model.init(jax.random.key(0), jnp.zeros((1, 81), int), jnp.zeros(1, int))
    return contract.random_params(fresh)


def candidates_of_size(size):
    return jax.random.bernoulli(jax.random.key(2), 0.6, (2, size * size, size))


def outputs(variables, candidates):
    model = model_of(candidates.shape[-1])
    states = jnp.zeros((len(candidates), *model.state_shape))
    return jax.jit(lambda a: run_pass(model, variables, a, states, 3, lambda out: ())[2])(
        candidates
    )


def test_renaming_symbols_commutes_with_the_network(variables):
    candidates, order = candidates_of_size(9), np.random.default_rng(0).permutation(9)
    plain, renamed = outputs(variables, candidates), outputs(variables, candidates[..., order])
    np.testing.assert_allclose(plain.keep_logits[..., order], renamed.keep_logits, atol=1e-5)
    np.testing.assert_allclose(plain.digit_logits[..., order], renamed.digit_logits, atol=1e-5)
    np.testing.assert_allclose(plain.conflict_logits, renamed.conflict_logits, atol=1e-5)


MOVES = {
    "rows of a band": [1, 2, 0, 3, 4, 5, 6, 7, 8],
    "bands": [3, 4, 5, 6, 7, 8, 0, 1, 2],
}


@pytest.mark.parametrize("lines", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_moving_lines_commutes_with_the_network(variables, lines, axis):
    board = np.arange(81).reshape(9, 9)
    cells = (board[lines] if axis == "rows" else board[:, lines]).reshape(-1)
    check_move(variables, cells)


def test_transposing_commutes_with_the_network(variables):
    check_move(variables, np.arange(81).reshape(9, 9).T.reshape(-1))


def check_move(variables, cells):
    candidates = candidates_of_size(9)
    plain, moved = outputs(variables, candidates), outputs(variables, candidates[:, cells])
    np.testing.assert_allclose(plain.keep_logits[:, cells], moved.keep_logits, atol=1e-5)
    np.testing.assert_allclose(plain.conflict_logits, moved.conflict_logits, atol=1e-5)


def test_swapping_rows_of_different_bands_does_not_commute(variables):
    cells = np.arange(81).reshape(9, 9)[[3, 1, 2, 0, 4, 5, 6, 7, 8]].reshape(-1)
    candidates = candidates_of_size(9)
    plain, moved = outputs(variables, candidates), outputs(variables, candidates[:, cells])
    assert not np.allclose(plain.keep_logits[:, cells], moved.keep_logits, atol=1e-3)


@pytest.mark.parametrize("size", [4, 6])
def test_the_parameters_of_one_size_run_on_another(variables, size):
    found = outputs(variables, candidates_of_size(size))
    assert found.keep_logits.shape == (2, size * size, size)
    assert np.isfinite(found.keep_logits).all()


def test_the_relations_of_a_sudoku_are_its_lines_and_its_boxes():
    line, box = RULES.relations(81)
    assert (line.name, len(line.groups), box.name, len(box.groups)) == ("line", 18, "box", 9)
    units = Grid.of_size(9).units.tolist()
    assert [list(group) for group in (*line.groups, *box.groups)] == units
