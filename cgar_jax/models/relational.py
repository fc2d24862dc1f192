"""The relational network: a candidate model that has every symmetry of the board.

There is one state per cell and symbol. States exchange messages with the states of the same symbol
in each group of cells that must differ, and with the other symbols of the same cell. All
parameters are shared among cells, symbols and the groups of one relation, so renaming symbols and
any permutation of cells that maps groups to groups of the same relation commute with the network,
and the same parameters run on boards of any size. Augmentation is neither needed nor useful.

Reference:
  This project; messages within constraint groups as in recurrent relational networks (Palm, Paquet
  and Winther, 2018, arXiv 1711.08028), a state per cell and symbol as in SE-RRM.
"""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name
from cgar_jax._core.relations import Relation, incidence
from cgar_jax.layers import LECUN_NORMAL, SwiGLU, gated_inner_size, rms_norm
from cgar_jax.models.base import (
    DTYPES,
    CandidateOutputs,
    OneState,
    ShardingRules,
    run_every_part,
)

_MESSAGE_SCALE = 1 / 3
_STATE_SCALE = 0.7


class Layer(nn.Module):
    """One round of messages, then a gated MLP; each is followed by a residual and a norm."""

    relations: tuple[Relation, ...]
    expansion: float
    inner_size_multiple: int
    dtype: str
    param_dtype: str

    @nn.compact
    def __call__(self, h: jax.Array, groups: jax.Array) -> jax.Array:
        """Maps `[cells, symbols, batch, hidden]` to the same shape.

        Args:
          h: states.
          groups: incidence of the groups of all relations in order, `[groups, cells]`.
        """
        hidden = h.shape[-1]

        def kernel(name, *shape):
            return self.param(name, LECUN_NORMAL, shape, self.param_dtype).astype(self.dtype)

        # [groups, symbols * batch * hidden]: one product for all symbols and examples.
        sums = groups @ h.reshape(h.shape[0], -1)
        counts = np.cumsum([len(relation.groups) for relation in self.relations])[:-1]
        messages = [
            (part.reshape(-1, hidden) @ kernel(relation.name, hidden, hidden)).reshape(part.shape)
            for relation, part in zip(self.relations, jnp.split(sums, counts), strict=True)
        ]
        received = (groups.T @ jnp.concatenate(messages)).reshape(h.shape)
        of_cell = _MESSAGE_SCALE * h.sum(1, keepdims=True) @ kernel("cell", hidden, hidden)
        h = rms_norm(h + received + of_cell)
        gated = {"expansion": self.expansion, "inner_size_multiple": self.inner_size_multiple}
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return rms_norm(h + SwiGLU(**gated, **dtypes, name="mlp")(h))


class Relational(OneState, nn.Module):
    """The relational network; fulfills `cgar_jax.models.Model` as a candidate model.

    With candidates `a` (1 possible, 0 not), incidence `M [groups, cells]` of the constraint groups
    divided by 3, and one matrix `W_r` for each relation, a network call is

        h <- rms(h + M^T (W_r of each group applied to M h) + W_cell sum over symbols of h / 3)
        h <- rms(h + W_down (u * silu(v))),  [u, v] = W_up h

    for each layer. The heads read the keep logit and the digit logit of each state, and a conflict
    logit from the mean and the maximum over all states.

    Attributes:
      vocab_size: number of tokens; the last `num_symbols` of them are the symbols of an answer.
      sequence_length: number of cells of a puzzle.
      num_symbols: number of symbols that a cell can have.
      relations: groups of cells that must all differ, by relation.
      num_puzzle_identifiers: number of rows of the puzzle-embedding table, which is not used.
      hidden_size: width of a state.
      expansion: relative width of the gated MLP, see `cgar_jax.layers.gated_inner_size`.
      inner_size_multiple: unit to which the inner width is rounded up.
      num_layers: number of layers of a network call.
      dtype: dtype of the computation, one of `DTYPES`.
      param_dtype: dtype of the parameters, one of `DTYPES`.

    Raises:
      ValueError: if a setting is out of range, or there is no relation.
    """

    vocab_size: int
    sequence_length: int
    num_symbols: int
    relations: tuple[Relation, ...]
    num_puzzle_identifiers: int = 1
    hidden_size: int = 48
    expansion: float = 2.0
    inner_size_multiple: int = 16
    num_layers: int = 2
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        for name in ("hidden_size", "inner_size_multiple", "num_layers"):
            check_integer("Relational", name, getattr(self, name), "[1, inf)")
        check_number("Relational", "expansion", self.expansion, "(0, inf)")
        for name in ("dtype", "param_dtype"):
            check_name(f"{name} of Relational", getattr(self, name), DTYPES)
        if not self.relations:
            raise ValueError("Relational needs at least one relation between the cells")
        super().__post_init__()

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """The shape of one example's state, `(cells, symbols, hidden_size)`."""
        return self.sequence_length, self.num_symbols, self.hidden_size

    @property
    def batch_axis(self) -> int:
        """The axis of the batch in `network`: 2, so that sums over groups are one product."""
        return 2

    @property
    def sharding_rules(self) -> ShardingRules:
        """The rules that split the matrices of the gated MLP along their wide axis."""
        return ((r"gate_up", 1), (r"down", 0))

    def setup(self):
        """Declares the variables; the table of puzzle embeddings is not used."""
        hidden, dtype = self.hidden_size, self.param_dtype
        normal, zeros = nn.initializers.normal(1.0), nn.initializers.zeros
        self.candidate_embedding = self.param("candidate_embedding", normal, (2, hidden), dtype)
        self.layers = [
            Layer(self.relations, self.expansion, self.inner_size_multiple, self.dtype, dtype)
            for _ in range(self.num_layers)
        ]
        self.symbol_head = self.param("symbol_head", zeros, (hidden, 2), dtype)
        self.symbol_bias = self.param("symbol_bias", zeros, (), dtype)
        self.conflict_head = self.param("conflict_head", zeros, (2 * hidden,), dtype)
        self.conflict_bias = self.param("conflict_bias", zeros, (), dtype)
        self.initial = self.variable(
            "constants", "initial_state", jnp.zeros, (hidden,), dtype
        ).value
        if self.is_initializing() or self.has_variable("puzzle_embedding", "table"):
            shape = (self.num_puzzle_identifiers, 1)
            self.puzzle_table = self.variable("puzzle_embedding", "table", jnp.zeros, shape, dtype)

    def embed(self, candidates: jax.Array, puzzle_rows: jax.Array | None = None) -> jax.Array:
        """Embeds candidates.

        Args:
          candidates: 1 for a possible symbol and 0 for an impossible one, bool or float
            `[batch, sequence_length, num_symbols]`.
          puzzle_rows: ignored.

        Returns:
          `[batch, *state_shape]` in `dtype`.
        """
        del puzzle_rows
        chex.assert_shape(candidates, (None, *self.state_shape[:2]))
        possible = candidates[..., None].astype(self.dtype)
        impossible_row, possible_row = _STATE_SCALE * self.candidate_embedding.astype(self.dtype)
        return possible * possible_row + (1 - possible) * impossible_row

    def network(self, h: jax.Array) -> jax.Array:
        """Applies the small network, `[cells, symbols, batch, hidden]`; keeps the shape."""
        groups = jnp.asarray(_MESSAGE_SCALE * self._incidence(), self.dtype)
        for layer in self.layers:
            h = layer(h, groups)
        return h

    def heads(self, h: jax.Array) -> CandidateOutputs:
        """Reads the logits from a state, `[batch, *state_shape]`."""
        by_symbol = (h @ self.symbol_head.astype(self.dtype)).astype(jnp.float32)
        pooled = jnp.concatenate([h.mean((1, 2)), h.max((1, 2))], axis=-1)
        conflict = (pooled @ self.conflict_head.astype(self.dtype)).astype(jnp.float32)
        return CandidateOutputs(
            by_symbol[..., 0] + self.symbol_bias.astype(jnp.float32),
            by_symbol[..., 1],
            conflict + self.conflict_bias.astype(jnp.float32),
        )

    def initial_state(
        self, keys: jax.Array | None = None, hypotheses: jax.Array | None = None
    ) -> tuple[jax.Array]:
        """Returns zeros `[hidden_size]`, with which every pass begins."""
        del keys, hypotheses
        return (self.initial.astype(self.dtype),)

    def __call__(self, inputs: jax.Array, puzzle_identifiers: jax.Array) -> CandidateOutputs:
        """Runs every part once, so that `init` finds all variables; training calls the parts."""
        del puzzle_identifiers
        return run_every_part(self, inputs)

    def network_flops(self) -> int:
        """Counts the FLOPs of one `network` call for one example: 2 per multiply-add."""
        groups, states = self._incidence().shape[0], math.prod(self.state_shape[:2])
        hidden, symbols = self.hidden_size, self.num_symbols
        sums = 2 * groups * states * hidden
        messages = (groups * symbols + self.sequence_length) * hidden * hidden
        return 2 * self.num_layers * (sums + messages + 3 * states * hidden * self._inner_size)

    def heads_flops(self) -> int:
        """Counts the FLOPs of one `heads` call for one example."""
        return 2 * self.hidden_size * (2 * math.prod(self.state_shape[:2]) + 2)

    def network_activations(self) -> int:
        """Counts the bytes that the backward pass of one `network` call keeps for one example."""
        groups, states = self._incidence().shape[0], math.prod(self.state_shape[:2])
        numbers = states * (5 * self.hidden_size + 5 * self._inner_size)
        numbers += (groups * self.num_symbols + self.sequence_length) * self.hidden_size
        return self.num_layers * jnp.dtype(self.dtype).itemsize * numbers

    def network_traffic(self) -> int:
        """Counts the bytes that one `network` call must at least move for one example."""
        groups, states = self._incidence().shape[0], math.prod(self.state_shape[:2])
        numbers = states * (4 * self.hidden_size + 3 * self._inner_size)
        numbers += 4 * groups * self.num_symbols * self.hidden_size
        return self.num_layers * jnp.dtype(self.dtype).itemsize * numbers

    @property
    def _inner_size(self) -> int:
        return gated_inner_size(self.hidden_size, self.expansion, self.inner_size_multiple)

    def _incidence(self) -> np.ndarray:
        return incidence(self.relations, self.sequence_length)
