"""Candidate elimination: the state between passes is the set of symbols still possible in a cell.

A pass runs the network from zero states on the candidates. Candidates that the network considers
impossible are then eliminated, and if that does not suffice, a symbol is guessed. All functions are
pure; `CandidateElimination` in `cgar_jax.training` trains with them, and the search in
`cgar_jax.evaluation` solves with them.

Reference:
  Davis, Haller, Alfarano and Santolucito, 2026, "Lattice Deduction Transformers", arXiv 2605.08605.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from cgar_jax._core.ranges import check_number
from cgar_jax.models import CandidateModel, CandidateOutputs
from cgar_jax.recursion.deep_recursion import STATES_BEFORE_GRADIENT


@dataclasses.dataclass(frozen=True)
class EliminationRule:
    """The rule by which outputs of a candidate model change the candidates.

    Attributes:
      threshold: a candidate whose probability is below is eliminated, in [0, 1].
      conflict_threshold: candidates whose conflict probability is above are given up, in [0, 1].
      temperature: temperature of the softmax from which a guessed symbol is drawn, above 0.

    Raises:
      ValueError: if a setting is out of range.
    """

    threshold: float = 0.1
    conflict_threshold: float = 0.5
    temperature: float = 1.5

    def __post_init__(self):
        for name, interval in (
            ("threshold", "[0, 1]"),
            ("conflict_threshold", "[0, 1]"),
            ("temperature", "(0, inf)"),
        ):
            check_number("EliminationRule", name, getattr(self, name), interval)


class Elimination(NamedTuple):
    """The candidates after an elimination; the batch comes first.

    Attributes:
      candidates: bool `[batch, cells, symbols]`.
      conflict: whether a cell has no candidate, or the network reports a conflict, bool `[batch]`.
      solved: whether every cell has one candidate, without a conflict, bool `[batch]`.
    """

    candidates: jax.Array
    conflict: jax.Array
    solved: jax.Array


def candidates_of(inputs: jax.Array, vocab_size: int, num_symbols: int) -> jax.Array:
    """Returns the candidates of a question: one symbol in given cells, all symbols elsewhere.

    Args:
      inputs: tokens, int `[..., cells]`; the last `num_symbols` tokens of the vocabulary are the
        symbols of an answer.
      vocab_size: number of tokens.
      num_symbols: number of symbols.

    Returns:
      bool `[..., cells, symbols]`.
    """
    symbols = jnp.arange(vocab_size - num_symbols, vocab_size)
    given = inputs[..., None] == symbols
    return given | ~given.any(-1, keepdims=True)


def tokens_of(symbols: jax.Array, vocab_size: int, num_symbols: int) -> jax.Array:
    """Returns the tokens of symbols, which are counted from 0."""
    return symbols + (vocab_size - num_symbols)


def symbols_of(tokens: jax.Array, vocab_size: int, num_symbols: int) -> jax.Array:
    """Returns the symbols of tokens, counted from 0; -1 for a token that is no symbol."""
    first = vocab_size - num_symbols
    return jnp.where(tokens >= first, tokens - first, -1)


def run_pass(
    model: CandidateModel,
    variables: Any,
    candidates: jax.Array,
    states: jax.Array,
    num_loops: int,
    read: Callable[[CandidateOutputs], Any],
) -> tuple[jax.Array, Any, CandidateOutputs]:
    """Runs the loops `h <- network(h + x)` of a pass and reads the heads after each of them.

    The backward pass keeps the state before each loop and recomputes the rest.

    Args:
      model: a candidate model.
      variables: variables of the model.
      candidates: bool `[batch, cells, symbols]`.
      states: states to begin with, `[batch, *state_shape]`; zeros for a new pass.
      num_loops: number of loops.
      read: function from the outputs of a loop to the values to keep.

    Returns:
      `(states, readings, outputs)`: the states after the last loop, the results of `read`, with
      leaves `[num_loops, ...]`, and the outputs after the last loop, without
      gradient.
    """

    def call(method, *arguments):
        return model.apply(variables, *arguments, method=method)

    axis = model.batch_axis
    x = jnp.moveaxis(call("embed", candidates, None), 0, axis)

    def heads(h):
        return call("heads", jnp.moveaxis(h, axis, 0))

    @jax.checkpoint
    def loop(h):
        h = call("network", h + x)
        return h, read(heads(h))

    def body(h, _):
        return loop(checkpoint_name(h, STATES_BEFORE_GRADIENT))

    h, readings = lax.scan(body, jnp.moveaxis(states, 0, axis), length=num_loops)
    return jnp.moveaxis(h, axis, 0), readings, heads(lax.stop_gradient(h))


def eliminate(
    candidates: jax.Array,
    fixed: jax.Array,
    outputs: CandidateOutputs,
    rule: EliminationRule,
    thresholds: jax.Array | None = None,
) -> Elimination:
    """Eliminates the candidates that the network considers impossible.

    A candidate is eliminated if its probability `sigmoid(keep_logit)` is below `rule.threshold` and
    its cell is not fixed.

    Args:
      candidates: bool `[batch, cells, symbols]`.
      fixed: cells whose candidates stay, bool `[batch, cells]`.
      outputs: outputs of the model for these candidates.
      rule: the rule.
      thresholds: a threshold for each row, `[batch]`; None takes `rule.threshold` for all.

    Returns:
      The remaining candidates, and whether they are a conflict or a solution.
    """
    threshold = jnp.asarray(rule.threshold if thresholds is None else thresholds)[..., None, None]
    keeps = jax.nn.sigmoid(outputs.keep_logits) >= threshold
    candidates = candidates & (keeps | fixed[..., None])
    counts = candidates.sum(-1)
    flagged = jax.nn.sigmoid(outputs.conflict_logits) > rule.conflict_threshold
    conflict = (counts == 0).any(-1) | flagged
    return Elimination(candidates, conflict, (counts == 1).all(-1) & ~conflict)


def branch(
    candidates: jax.Array,
    outputs: CandidateOutputs,
    rule: EliminationRule,
    key: jax.Array,
    where: jax.Array,
) -> jax.Array:
    """Guesses one symbol: pins a random open cell to a symbol drawn from its candidates.

    An open cell has several candidates; its symbol is drawn from
    `softmax(digit_logits / rule.temperature)` over them.

    Args:
      candidates: bool `[batch, cells, symbols]`.
      outputs: outputs of the model for these candidates.
      rule: the rule.
      key: random key.
      where: rows in which to guess, bool `[batch]`; a row without an open cell does not change.

    Returns:
      The new candidates.
    """
    cell_key, symbol_key = jax.random.split(key)
    is_open = candidates.sum(-1) > 1
    cell = random_index(cell_key, is_open)
    logits = jnp.where(candidates, outputs.digit_logits / rule.temperature, -jnp.inf)
    logits = jnp.take_along_axis(logits, cell[:, None, None], axis=1)[:, 0]
    # A row without an open cell has -inf everywhere; its symbol is not used.
    symbol = jax.random.categorical(symbol_key, jnp.maximum(logits, -1e9))
    return pin(candidates, cell, symbol, where & is_open.any(-1))


def random_index(key: jax.Array, where: jax.Array) -> jax.Array:
    """Draws the index of one True entry along the last axis; 0 if there is none.

    Args:
      key: random key.
      where: bool `[..., entries]`.

    Returns:
      int `[...]`.
    """
    return jnp.where(where, jax.random.uniform(key, where.shape), -1).argmax(-1)


def in_cell(cell: jax.Array, num_cells: int, where: jax.Array) -> jax.Array:
    """Returns the mask of one cell in each row, bool `[batch, num_cells]`.

    Args:
      cell: cell of each row, int `[batch]`.
      num_cells: number of cells.
      where: rows to mark, bool `[batch]`; the others are False.
    """
    return where[:, None] & jax.nn.one_hot(cell, num_cells, dtype=bool)


def pin(candidates: jax.Array, cell: jax.Array, symbol: jax.Array, where: jax.Array) -> jax.Array:
    """Leaves only one candidate in one cell of each row.

    Args:
      candidates: bool `[batch, cells, symbols]`.
      cell: cell of each row, int `[batch]`.
      symbol: symbol of each row, int `[batch]`.
      where: rows to change, bool `[batch]`.

    Returns:
      The new candidates.
    """
    _, cells, symbols = candidates.shape
    only = jax.nn.one_hot(symbol, symbols, dtype=bool)
    return jnp.where(in_cell(cell, cells, where)[..., None], only[:, None], candidates)


def has_conflict(candidates: jax.Array, solution: jax.Array) -> jax.Array:
    """Returns whether the candidates exclude the solution, bool `[batch]`.

    Args:
      candidates: bool `[batch, cells, symbols]`.
      solution: symbols of the solution, int `[batch, cells]`; -1 is ignored.
    """
    left = jnp.take_along_axis(candidates, jnp.maximum(solution, 0)[..., None], axis=-1)[..., 0]
    return ((solution >= 0) & ~left).any(-1)
