"""Naked and hidden singles as a candidate model without parameters: the control of every search.

How much a trained network contributes to a search shows only next to the same search with these
two hand-written rules in its place.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from cgar_jax._core.relations import Relation, incidence
from cgar_jax.models.base import CandidateOutputs, OneState, ShardingRules, run_every_part

_SURE = 20.0
"""Size of the logits: a probability of 1 up to 2e-9."""


class Singles(OneState, nn.Module):
    """The rules of naked and hidden singles; fulfills `cgar_jax.models.CandidateModel`.

    A loop applies both rules once to all cells at the same time:

      * naked single: the only candidate of a cell is removed from the other cells of its groups;
      * hidden single: a symbol that has one place in a group with as many cells as symbols removes
        the other candidates of that place.

    A state is 0 for a candidate that is left and -1 for one that is not. All candidates that are
    left have equal digit logits, and no conflict is ever reported: contradictions are found by the
    search itself.

    Attributes:
      vocab_size: number of tokens; the last `num_symbols` of them are the symbols of an answer.
      sequence_length: number of cells of a puzzle.
      num_symbols: number of symbols that a cell can have.
      relations: groups of cells that must all differ, by relation.
      num_puzzle_identifiers: number of rows of the puzzle-embedding table, which is not used.
      dtype: dtype of the computation.
      param_dtype: not used, because there are no parameters.
    """

    vocab_size: int
    sequence_length: int
    num_symbols: int
    relations: tuple[Relation, ...]
    num_puzzle_identifiers: int = 1
    dtype: str = "float32"
    param_dtype: str = "float32"

    @property
    def state_shape(self) -> tuple[int, int]:
        """The shape of one example's state, `(cells, symbols)`."""
        return self.sequence_length, self.num_symbols

    @property
    def batch_axis(self) -> int:
        """The axis of the batch in `network`: 2, so that sums over groups are one product."""
        return 2

    @property
    def sharding_rules(self) -> ShardingRules:
        """No rules, because there are no parameters."""
        return ()

    def embed(self, candidates: jax.Array, puzzle_rows: jax.Array | None = None) -> jax.Array:
        """Returns 1 for a candidate and 0 for an impossible one, `[batch, *state_shape]`."""
        del puzzle_rows
        chex.assert_shape(candidates, (None, *self.state_shape))
        return candidates.astype(self.dtype)

    def network(self, h: jax.Array) -> jax.Array:
        """Applies both rules once, `[cells, symbols, batch]`; keeps the shape."""
        left = _apply_both(h > 0.5, self._incidence())
        return jnp.where(left, 0, -1).astype(h.dtype)

    def heads(self, h: jax.Array) -> CandidateOutputs:
        """Reads the logits from a state, `[batch, *state_shape]`."""
        logits = jnp.where(h < -0.5, -_SURE, _SURE).astype(jnp.float32)
        return CandidateOutputs(logits, logits, jnp.full(len(h), -_SURE, jnp.float32))

    def initial_state(
        self, keys: jax.Array | None = None, hypotheses: jax.Array | None = None
    ) -> tuple[jax.Array]:
        """Returns 0: at the beginning, no candidate has been removed."""
        del keys, hypotheses
        return (jnp.zeros((), self.dtype),)

    def __call__(self, inputs: jax.Array, puzzle_identifiers: jax.Array) -> CandidateOutputs:
        """Runs every part once; there are no variables to find."""
        del puzzle_identifiers
        return run_every_part(self, inputs)

    def network_flops(self) -> int:
        """Counts the FLOPs of one `network` call for one example: 2 per multiply-add."""
        return 8 * self._incidence().shape[0] * self.sequence_length * self.num_symbols

    def heads_flops(self) -> int:
        """Returns 0: there is no matrix product."""
        return 0

    def network_activations(self) -> int:
        """Returns 0: there is no backward pass."""
        return 0

    def network_traffic(self) -> int:
        """Counts the bytes that one `network` call must at least move for one example."""
        return 2 * jnp.dtype(self.dtype).itemsize * self.sequence_length * self.num_symbols

    def _incidence(self) -> np.ndarray:
        return incidence(self.relations, self.sequence_length)


def left_by_singles(candidates: jax.Array, groups: np.ndarray) -> jax.Array:
    """Returns the candidates that naked and hidden singles leave when they find nothing more.

    Args:
      candidates: bool `[batch, cells, symbols]`.
      groups: cells of each group, `[groups, cells]`, see `cgar_jax._core.relations.incidence`.
    """

    def find_more(carry):
        left, _ = carry
        fewer = _apply_both(left, groups)
        return fewer, (fewer != left).any()

    left = jnp.moveaxis(candidates, 0, 2)
    left, _ = lax.while_loop(lambda carry: carry[1], find_more, (left, left.any()))
    return jnp.moveaxis(left, 2, 0)


def _apply_both(left: jax.Array, groups: np.ndarray) -> jax.Array:
    """Applies both rules once to candidates `[cells, symbols, batch]`."""
    full = groups[groups.sum(1) == left.shape[1]]
    single = left & (left.sum(1, keepdims=True) == 1)
    # A single counts itself once in each of its groups.
    elsewhere = _sums(groups.T, _sums(groups, single)) - single * groups.sum(0)[:, None, None]
    left &= elsewhere < 0.5
    hidden = left & (_sums(full.T, _sums(full, left) == 1) > 0.5)
    return jnp.where(hidden.any(1, keepdims=True), hidden, left)


def _sums(matrix: np.ndarray, states: jax.Array) -> jax.Array:
    """Returns `matrix @ states` along the first axis of the states."""
    flat = states.reshape(len(states), -1).astype(jnp.float32)
    return (matrix @ flat).reshape(-1, *states.shape[1:])
