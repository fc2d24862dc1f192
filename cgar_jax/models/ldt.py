"""The lattice deduction transformer (LDT): attention over cells whose candidates are the input.

Candidate elimination calls it as it calls the relational network. LDT knows the board only through
its embeddings of rows and columns, so it needs augmented puzzles to learn the symmetries.

Reference:
  Davis, Haller, Alfarano and Santolucito, 2026, "Lattice Deduction Transformers", arXiv 2605.08605;
  as in the released code, without dropout.
"""

import math

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from cgar_jax._core.ranges import check_integer
from cgar_jax._core.registry import check_name
from cgar_jax._core.relations import Relation
from cgar_jax.layers import attend
from cgar_jax.models.base import (
    DTYPES,
    CandidateOutputs,
    OneState,
    ShardingRules,
    run_every_part,
)

_EPSILON = 1e-5
_EXPANSION = 4


class Block(nn.Module):
    """One layer: attention, then an MLP; each reads normalized states and adds to them."""

    num_heads: int
    dtype: str
    param_dtype: str

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        """Maps `[batch, length, hidden]` to the same shape."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, length, hidden = h.shape

        def norm(name, h):
            return nn.LayerNorm(_EPSILON, use_fast_variance=False, **dtypes, name=name)(h)

        qkv = nn.Dense(
            3 * hidden, kernel_init=nn.initializers.xavier_uniform(), **dtypes, name="qkv"
        )(norm("norm_attention", h))
        # [3, batch, heads, length, head_size]
        by_head = qkv.reshape(batch, length, 3, self.num_heads, -1).transpose(2, 0, 3, 1, 4)
        attended = attend(*by_head).swapaxes(1, 2).reshape(h.shape)
        h = h + linear(hidden, hidden, dtypes, "output")(attended)
        inner = linear(hidden, _EXPANSION * hidden, dtypes, "up")(norm("norm_mlp", h))
        inner = nn.gelu(inner, approximate=False)
        return h + linear(_EXPANSION * hidden, hidden, dtypes, "down")(inner)


class LDT(OneState, nn.Module):
    """The lattice deduction transformer; fulfills `cgar_jax.models.Model` as a candidate model.

    With candidates `a` (1 possible, 0 not), a network call is

        o <- layers([h + row + column; c])
        h <- layer_norm(h + o_cells)

    where the token `c` stands at the end. It begins anew in every call, and the conflict logit is
    read from its output. The other heads read `h`. The published code begins a pass with the
    embedded candidates as states, this library with zeros; `run_pass` takes either.

    Attributes:
      vocab_size: number of tokens; the last `num_symbols` of them are the symbols of an answer.
      sequence_length: number of cells of a puzzle, a square number.
      num_symbols: number of symbols that a cell can have.
      relations: groups of cells that must all differ; the search uses them, the network does not.
      num_puzzle_identifiers: number of rows of the puzzle-embedding table, which is not used.
      hidden_size: width of a state.
      num_layers: number of layers of a network call.
      num_heads: number of attention heads.
      dtype: dtype of the computation, one of `DTYPES`.
      param_dtype: dtype of the parameters, one of `DTYPES`.

    Raises:
      ValueError: if a setting is out of range, the heads do not divide the width, or the board is
        not square.
    """

    vocab_size: int
    sequence_length: int
    num_symbols: int
    relations: tuple[Relation, ...] = ()
    num_puzzle_identifiers: int = 1
    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        for name in ("hidden_size", "num_layers", "num_heads"):
            check_integer("LDT", name, getattr(self, name), "[1, inf)")
        for name in ("dtype", "param_dtype"):
            check_name(f"{name} of LDT", getattr(self, name), DTYPES)
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"LDT: hidden_size {self.hidden_size} is not divisible by num_heads "
                f"{self.num_heads}"
            )
        if self._side**2 != self.sequence_length:
            raise ValueError(
                f"LDT: the board must be square, but {self.sequence_length} cells are not a "
                "square number"
            )
        super().__post_init__()

    @property
    def state_shape(self) -> tuple[int, int]:
        """The shape of one example's state: the cells, then the output of the conflict token."""
        return self.sequence_length + 1, self.hidden_size

    @property
    def batch_axis(self) -> int:
        """The axis of the batch in `network`: 0."""
        return 0

    @property
    def sharding_rules(self) -> ShardingRules:
        """The rules that split the wide matrices along their wide axis."""
        return ((r"(qkv|up)/kernel", 1), (r"(output|down)/kernel", 0))

    def setup(self):
        """Declares the variables; the table of puzzle embeddings is not used."""
        hidden, dtype = self.hidden_size, self.param_dtype
        dtypes = {"dtype": self.dtype, "param_dtype": dtype}
        normal, small = nn.initializers.normal(1.0), nn.initializers.normal(0.02)
        self.candidate_embedding = linear(self.num_symbols, hidden, dtypes)
        self.row_embedding = self.param("row_embedding", normal, (self._side, hidden), dtype)
        self.column_embedding = self.param("column_embedding", normal, (self._side, hidden), dtype)
        self.conflict_token = self.param("conflict_token", small, (1, 1, hidden), dtype)
        self.conflict_position = self.param("conflict_position", small, (1, 1, hidden), dtype)
        self.layers = [Block(self.num_heads, **dtypes) for _ in range(self.num_layers)]
        self.norm = nn.LayerNorm(_EPSILON, use_fast_variance=False, **dtypes)
        self.keep_head = linear(hidden, self.num_symbols, dtypes)
        self.digit_head = linear(hidden, self.num_symbols, dtypes)
        self.conflict_head = linear(hidden, 1, dtypes)
        self.initial = self.variable("constants", "initial_state", jnp.zeros, (hidden,), dtype)
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
          `[batch, *state_shape]` in `dtype`, zeros at the conflict token.
        """
        del puzzle_rows
        chex.assert_shape(candidates, (None, self.sequence_length, self.num_symbols))
        cells = self.candidate_embedding(candidates.astype(self.dtype))
        return jnp.pad(cells, ((0, 0), (0, 1), (0, 0)))

    def network(self, h: jax.Array) -> jax.Array:
        """Applies the small network, `[batch, *state_shape]`; keeps the shape."""
        cells = h[:, :-1]
        positions = self.row_embedding[:, None] + self.column_embedding
        positions = positions.reshape(-1, self.hidden_size).astype(self.dtype)
        token = (self.conflict_token + self.conflict_position).astype(self.dtype)
        token = jnp.broadcast_to(token, (len(h), 1, self.hidden_size))
        output = jnp.concatenate([cells + positions, token], axis=1)
        for layer in self.layers:
            output = layer(output)
        return jnp.concatenate([self.norm(cells + output[:, :-1]), output[:, -1:]], axis=1)

    def heads(self, h: jax.Array) -> CandidateOutputs:
        """Reads the logits from a state, `[batch, *state_shape]`."""
        cells, token = h[:, :-1], h[:, -1]
        return CandidateOutputs(
            self.keep_head(cells).astype(jnp.float32),
            self.digit_head(cells).astype(jnp.float32),
            self.conflict_head(token)[:, 0].astype(jnp.float32),
        )

    def initial_state(
        self, keys: jax.Array | None = None, hypotheses: jax.Array | None = None
    ) -> tuple[jax.Array]:
        """Returns zeros `[hidden_size]`, with which every pass begins."""
        del keys, hypotheses
        return (self.initial.value.astype(self.dtype),)

    def __call__(self, inputs: jax.Array, puzzle_identifiers: jax.Array) -> CandidateOutputs:
        """Runs every part once, so that `init` finds all variables; training calls the parts."""
        del puzzle_identifiers
        return run_every_part(self, inputs)

    def network_flops(self) -> int:
        """Counts the FLOPs of one `network` call for one example: 2 per multiply-add."""
        length, hidden = self.state_shape
        products = (4 + 2 * _EXPANSION) * hidden * hidden * length
        return 2 * self.num_layers * (products + 2 * length * length * hidden)

    def heads_flops(self) -> int:
        """Counts the FLOPs of one `heads` call for one example."""
        return 2 * self.hidden_size * (2 * self.sequence_length * self.num_symbols + 1)

    def network_activations(self) -> int:
        """Counts the bytes that the backward pass of one `network` call keeps for one example."""
        length, hidden = self.state_shape
        numbers = (8 + 2 * _EXPANSION) * length * hidden + self.num_heads * length * length
        return self.num_layers * jnp.dtype(self.dtype).itemsize * numbers

    def network_traffic(self) -> int:
        """Counts the bytes that one `network` call must at least move for one example."""
        length, hidden = self.state_shape
        numbers = (12 + 2 * _EXPANSION) * length * hidden + 2 * self.num_heads * length * length
        return self.num_layers * jnp.dtype(self.dtype).itemsize * numbers

    @property
    def _side(self) -> int:
        return math.isqrt(self.sequence_length)


def linear(inputs: int, outputs: int, dtypes: dict[str, str], name: str | None = None) -> nn.Dense:
    """Returns a linear layer, uniform in +-1 / sqrt(inputs) as in PyTorch."""

    def uniform(key, shape, dtype, out_sharding=None):
        del out_sharding
        bound = inputs**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return nn.Dense(outputs, kernel_init=uniform, bias_init=uniform, **dtypes, name=name)
