"""The mixture of states in which the puzzles of candidate elimination begin.

The network has to meet what a search meets: the plain question, boards that are partly filled in,
and boards with a wrong guess.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.relations import incidence
from cgar_jax.models import CandidateModel
from cgar_jax.recursion.elimination import candidates_of, in_cell, pin, random_index
from cgar_jax.recursion.rows import where_rows


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The mixture of states in which fresh puzzles begin.

    Attributes:
      thinking: share of slots that keep their candidates and carry their states.
      hinted: share of the thinking slots whose puzzle has 1 to `max_hints` right symbols more.
      max_hints: largest number of these symbols.
      misled: share of the thinking slots whose puzzle has one wrong symbol more, which no filled
        cell excludes. They teach to refute a guess.
      plain: share of the other slots whose puzzle has no symbol more than the question. In the
        rest, a uniformly drawn share of the blank cells is filled in.
      wrong: share of all searching slots in which some filled cells get a random symbol.
      wrong_cells: share of the filled cells that get one.
    """

    thinking: float = 0.5
    hinted: float = 0.7
    max_hints: int = 12
    misled: float = 0.4
    plain: float = 0.2
    wrong: float = 0.25
    wrong_cells: float = 0.15

    def __post_init__(self):
        for name in ("thinking", "hinted", "misled", "plain", "wrong", "wrong_cells"):
            check_number("Mixture", name, getattr(self, name), "[0, 1]")
        check_integer("Mixture", "max_hints", self.max_hints, "[1, inf)")

    def begin(
        self, model: CandidateModel, inputs: jax.Array, solution: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Draws the states in which fresh puzzles begin.

        Args:
          model: the model that reads them.
          inputs: tokens of the questions, int `[batch, cells]`.
          solution: symbols of the solutions, int `[batch, cells]`; -1 without a label.
          key: random key.

        Returns:
          `(candidates, fixed, thinks)`: bool `[batch, cells, symbols]`, the cells whose candidates
          stay, bool `[batch, cells]`, and the thinking slots, bool `[batch]`.
        """
        kind, hint, share, err, symbol, mislead, guess = jax.random.split(key, 7)
        question = candidates_of(inputs, model.vocab_size, model.num_symbols)
        blank = (question.sum(-1) > 1) & (solution >= 0)
        thinks = _flip(kind, self.thinking, len(inputs))
        chosen = where_rows(thinks, self._hints(blank, hint), self._share(blank, share))
        filled = blank & chosen
        errs = self._errs(blank, err) & ~thinks[:, None]
        any_symbols = jax.random.randint(symbol, inputs.shape, 0, model.num_symbols)
        symbols = jnp.where(errs, any_symbols, solution)
        only = jax.nn.one_hot(symbols, model.num_symbols, dtype=bool)
        candidates = jnp.where(filled[..., None], only, question)
        fixed = ~blank | filled
        cell, wrong_symbol, possible = _wrong_guess(model, candidates, fixed, solution, guess)
        misled = thinks & possible & _flip(mislead, self.misled, len(inputs))
        fixed |= in_cell(cell, fixed.shape[1], misled)
        return pin(candidates, cell, wrong_symbol, misled), fixed, thinks

    def _hints(self, blank: jax.Array, key: jax.Array) -> jax.Array:
        """Returns 1 to `max_hints` random blank cells, in the share `hinted` of the rows."""
        rows, order, number = jax.random.split(key, 3)
        noise = jnp.where(blank, jax.random.uniform(order, blank.shape), 2)
        rank = noise.argsort(-1).argsort(-1)
        hints = jax.random.randint(number, (len(blank), 1), 1, self.max_hints + 1)
        return (rank < hints) & _flip(rows, self.hinted, len(blank), 1)

    def _share(self, blank: jax.Array, key: jax.Array) -> jax.Array:
        """Returns a random share of the cells, but none in the share `plain` of the rows."""
        rows, share, cells = jax.random.split(key, 3)
        share = jax.random.uniform(share, (len(blank), 1))
        return _flip(cells, share * ~_flip(rows, self.plain, len(blank), 1), *blank.shape)

    def _errs(self, blank: jax.Array, key: jax.Array) -> jax.Array:
        """Returns the cells that get a random symbol if they are filled."""
        rows, cells = jax.random.split(key)
        some = _flip(rows, self.wrong, len(blank), 1)
        return some & _flip(cells, self.wrong_cells, *blank.shape)


def _wrong_guess(
    model: CandidateModel, candidates: jax.Array, fixed: jax.Array, solution: jax.Array, key: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws a cell and a wrong symbol that no fixed cell excludes, and tells whether there is one.

    Returns:
      `(cell, symbol, possible)`, each `[batch]`.
    """
    cell_key, symbol_key = jax.random.split(key)
    groups = incidence(model.relations, model.sequence_length)
    known = (candidates & fixed[..., None]).astype(jnp.float32)
    excluded = jnp.einsum("gs,gt,btv->bsv", groups, groups, known) > 0.5
    right = jax.nn.one_hot(solution, model.num_symbols, dtype=bool)
    wrong = candidates & ~excluded & ~right & ((solution >= 0) & ~fixed)[..., None]
    cell = random_index(cell_key, wrong.any(-1))
    there = jnp.take_along_axis(wrong, cell[:, None, None], axis=1)[:, 0]
    return cell, random_index(symbol_key, there), there.any(-1)


def _flip(key: jax.Array, probability: Any, *shape: int) -> jax.Array:
    return jax.random.bernoulli(key, jnp.asarray(probability, jnp.float32), shape)
