"""The symbol-equivariant recursive reasoning model (SE-RRM): renaming symbols renames the answer.

There is one state for each symbol and cell, and the same weights for all symbols. Relabeling the
digits of a question therefore relabels the answer exactly, and the parameters fit boards of every
size and number of symbols.

Reference:
  Freinschlag, Bertram, Kobler, Mayr and Klambauer, 2026, arXiv 2603.02193; as in the released code,
  but without dropout.
"""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name
from cgar_jax.layers import (
    LECUN_NORMAL,
    Attention,
    SwiGLU,
    board_angles,
    gated_inner_size,
    rms_norm,
    rotate,
)
from cgar_jax.models.base import DTYPES, OneState, Outputs, ShardingRules

NUM_SPECIAL = 2
"""The tokens that are no symbols of an answer: padding and the empty cell."""
MOST_TOKENS = 128
"""The largest vocabulary; a model keeps a state for each token and cell."""
POSITIVE = (
    *("vocab_size", "sequence_length", "num_puzzle_identifiers", "hidden_size", "num_layers"),
    *("num_heads", "symbol_heads", "inner_size_multiple"),
)


class AxialBlock(nn.Module):
    """One layer: attention over cells, attention over symbols, then a gated MLP."""

    num_heads: int
    symbol_heads: int
    head_size: int
    expansion: float
    inner_size_multiple: int
    dtype: str
    param_dtype: str

    @nn.compact
    def __call__(self, h: jax.Array, angles: np.ndarray) -> jax.Array:
        """Maps `[batch, symbols, positions, hidden]` to the same shape."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        attention = functools.partial(Attention, head_size=self.head_size, **dtypes)
        over_cells = attention(self.num_heads, name="cell_attention")
        turn = functools.partial(rotate, angles=angles)
        h = rms_norm(h + over_cells(h.reshape(-1, *h.shape[2:]), turn).reshape(h.shape))
        by_cell = h.swapaxes(1, 2)
        over_symbols = attention(self.symbol_heads, name="symbol_attention")
        mixed = over_symbols(by_cell.reshape(-1, *by_cell.shape[2:])).reshape(by_cell.shape)
        h = rms_norm(h + mixed.swapaxes(1, 2))
        mlp = SwiGLU(self.expansion, self.inner_size_multiple, **dtypes, name="mlp")
        return rms_norm(h + mlp(h))


class SERRM(OneState, nn.Module):
    """The symbol-equivariant model; it fulfills `cgar_jax.models.Model` with one state.

    The embedded question is `sqrt(vocab_size) E_v` at the symbol that stands in a cell, and zero at
    all others. A few learned tokens follow the cells. A layer is

        h <- rms(h + attention over cells, with rotary positions by row and column)
        h <- rms(h + attention over symbols)
        h <- rms(h + swiglu(h))

    The logit of a symbol is one linear function of its state. There is no halting head: the halting
    logit is the smallest probability of the most probable symbol of a cell, without gradient, so
    combine it with `supervision.criterion` "random" or "never".

    Attributes:
      vocab_size: number of tokens; the first two are padding and the empty cell.
      sequence_length: number of cells of a square board.
      num_puzzle_identifiers: number of rows of the puzzle-embedding table, which is not used.
      hidden_size: width of a state.
      num_layers: number of layers of the network.
      num_heads: number of heads of the attention over cells.
      symbol_heads: number of heads of the attention over symbols.
      head_size: number of features of a head, a multiple of 4; 0 means `hidden_size / num_heads`.
      extra_tokens: number of learned tokens that follow the cells. Without them, padding and a
        symbol that no cell shows cannot be told apart.
      equivariant: whether all symbols share their parameters; otherwise each has its own, and the
        head reads all symbols of a cell.
      expansion: relative width of the gated MLP, see `cgar_jax.layers.gated_inner_size`.
      inner_size_multiple: unit to which the inner width is rounded up.
      dtype: dtype of the computation, one of `DTYPES`.
      param_dtype: dtype of the parameters, one of `DTYPES`.

    Raises:
      ValueError: if a setting is out of range, or the board is not a square.
    """

    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int = 1
    hidden_size: int = 256
    num_layers: int = 2
    num_heads: int = 4
    symbol_heads: int = 2
    head_size: int = 0
    extra_tokens: int = 4
    equivariant: bool = True
    expansion: float = 4.0
    inner_size_multiple: int = 256
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        _check(self)
        super().__post_init__()

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """The shape of one example's state, `(vocab_size, positions, hidden_size)`."""
        return self.vocab_size, self.sequence_length + self.extra_tokens, self.hidden_size

    @property
    def batch_axis(self) -> int:
        """The axis of the batch in `network`: 0."""
        return 0

    @property
    def sharding_rules(self) -> ShardingRules:
        """The rules that split each wide matrix along its wide axis, to divide it evenly."""
        return ((r"(gate_up|qkv)", 1), (r"(down|output)", 0))

    def setup(self):
        """Declares the variables of the three collections."""
        unit, hidden = nn.initializers.normal(1.0), self.hidden_size
        symbols = 1 if self.equivariant else self.vocab_size

        def by_token(kind, positions):
            """Returns `[special tokens, symbols]`; both broadcast against a batch of states."""
            names = {f"special_{kind}": NUM_SPECIAL} if self.equivariant else {}
            names[f"symbol_{kind}"] = symbols
            return [
                self.param(name, unit, (1, number, positions, hidden), self.param_dtype)
                for name, number in names.items()
            ]

        self.embedding = by_token("embedding", 1)
        self.tokens = by_token("tokens", self.extra_tokens) if self.extra_tokens else None
        block = functools.partial(
            AxialBlock,
            num_heads=self.num_heads,
            symbol_heads=self.symbol_heads,
            head_size=self._head_size,
            expansion=self.expansion,
            inner_size_multiple=self.inner_size_multiple,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        self.layers = [block() for _ in range(self.num_layers)]
        head = (hidden, 1) if self.equivariant else (symbols * hidden, symbols)
        self.output_head = self.param("output_head", LECUN_NORMAL, head, self.param_dtype)
        init = functools.partial(unit, shape=(hidden,), dtype=self.param_dtype)
        self.initial = self.variable(
            "constants", "initial_y", lambda: init(self.make_rng("params"))
        ).value
        if self.is_initializing() or self.has_variable("puzzle_embedding", "table"):
            shape = self.num_puzzle_identifiers, 1
            self.puzzle_table = self.variable(
                "puzzle_embedding", "table", jnp.zeros, shape, self.param_dtype
            )

    @property
    def _head_size(self) -> int:
        return self.head_size or self.hidden_size // self.num_heads

    def _for_each_token(self, parts: list[jax.Array]) -> jax.Array:
        """Returns `[1, vocab_size, positions, hidden]`; symbols may share their numbers."""
        *special, symbols = parts
        rest = self.vocab_size - NUM_SPECIAL * len(special)
        symbols = jnp.broadcast_to(symbols, (1, rest, *symbols.shape[2:]))
        return jnp.concatenate([*special, symbols], axis=1).astype(self.dtype)

    def embed(self, inputs: jax.Array, puzzle_rows: jax.Array) -> jax.Array:
        """Embeds the question.

        Args:
          inputs: tokens, int `[batch, sequence_length]`.
          puzzle_rows: ignored.

        Returns:
          The embedded question, `[batch, *state_shape]` in `dtype`.
        """
        del puzzle_rows
        chex.assert_shape(inputs, (None, self.sequence_length))
        stands = jax.nn.one_hot(inputs, self.vocab_size, axis=1, dtype=self.dtype)[..., None]
        cells = math.sqrt(self.vocab_size) * stands * self._for_each_token(self.embedding)
        if self.tokens is None:
            return cells
        tokens = self._for_each_token(self.tokens)
        tokens = jnp.broadcast_to(tokens, (inputs.shape[0], *tokens.shape[1:]))
        return jnp.concatenate([cells, tokens], axis=2)

    def network(self, h: jax.Array) -> jax.Array:
        """Applies the small network, `[batch, *state_shape]`; keeps the shape."""
        width = math.isqrt(self.sequence_length)
        angles = board_angles(width, self.sequence_length, self._head_size)
        angles = np.pad(angles, ((0, self.extra_tokens), (0, 0)))  # these stand nowhere
        for layer in self.layers:
            h = layer(h, angles)
        return h

    def heads(self, y: jax.Array) -> Outputs:
        """Reads the logits from the state, `[batch, *state_shape]`."""
        by_cell = y[:, :, : self.sequence_length].swapaxes(1, 2)
        head = self.output_head.astype(self.dtype)
        if self.equivariant:
            logits = (by_cell @ head)[..., 0]
        else:
            logits = by_cell.reshape(*by_cell.shape[:2], head.shape[0]) @ head
        logits = logits.astype(jnp.float32)
        surest = jax.nn.softmax(logits).max(-1).min(-1)
        halting = jax.lax.stop_gradient(surest)
        return Outputs(logits, halting, jnp.zeros_like(halting))

    def initial_state(
        self, keys: jax.Array | None = None, hypotheses: jax.Array | None = None
    ) -> tuple[jax.Array]:
        """Returns the constant `[hidden_size]` with which every example begins."""
        del keys, hypotheses
        return (self.initial.astype(self.dtype),)

    def __call__(self, inputs: jax.Array, puzzle_identifiers: jax.Array) -> Outputs:
        """Runs every part once, so that `init` finds all variables; training calls the parts."""
        return self.heads(self.network(self.embed(inputs, puzzle_identifiers)))

    def network_flops(self) -> int:
        """Counts the FLOPs of one `network` call for one example: 2 per multiply-add."""
        symbols, positions, hidden = self.state_shape
        products = 3 * hidden * gated_inner_size(hidden, self.expansion, self.inner_size_multiple)
        for heads, length in ((self.num_heads, positions), (self.symbol_heads, symbols)):
            products += heads * self._head_size * (4 * hidden + 2 * length)
        return 2 * self.num_layers * symbols * positions * products

    def heads_flops(self) -> int:
        """Counts the FLOPs of one `heads` call for one example."""
        logits = self.sequence_length * self.vocab_size
        inputs = 1 if self.equivariant else self.vocab_size
        return 2 * logits * inputs * self.hidden_size

    def network_activations(self) -> int:
        """Counts the bytes that the backward pass of one `network` call keeps for one example.

        These are the operands of each matrix product, the gates with their sigmoid and product, the
        attention weights, and the inputs of norms.
        """
        number = jnp.dtype(self.dtype).itemsize
        return number * self.num_layers * (self._numbers(5) + self._attention_weights())

    def network_traffic(self) -> int:
        """Counts the bytes that one `network` call must at least move for one example."""
        number = jnp.dtype(self.dtype).itemsize
        return number * self.num_layers * (self._numbers(3) + 2 * self._attention_weights())

    def _numbers(self, times: int) -> int:
        """Counts the numbers of states, queries, keys, values and gates of a layer."""
        symbols, positions, hidden = self.state_shape
        inner = gated_inner_size(hidden, self.expansion, self.inner_size_multiple)
        heads = (self.num_heads + self.symbol_heads) * self._head_size
        return symbols * positions * (times * inner + 4 * heads + 6 * hidden)

    def _attention_weights(self) -> int:
        symbols, positions, _ = self.state_shape
        over_cells = self.num_heads * symbols * positions**2
        return over_cells + self.symbol_heads * positions * symbols**2


def _check(model: SERRM) -> None:
    """Raises a ValueError for settings that cannot work, before anything is traced."""

    def require(condition: bool, message: str):
        if not condition:
            raise ValueError(f"SERRM: {message}")

    for name in POSITIVE:
        check_integer("SERRM", name, getattr(model, name), "[1, inf)")
    for name in ("head_size", "extra_tokens"):
        check_integer("SERRM", name, getattr(model, name), "[0, inf)")
    check_number("SERRM", "expansion", model.expansion, "(0, inf)")
    for name in ("dtype", "param_dtype"):
        check_name(f"{name} of SERRM", getattr(model, name), DTYPES)
    require(
        math.isqrt(model.sequence_length) ** 2 == model.sequence_length,
        f"the puzzles have {model.sequence_length} cells, which is no square board; positions are "
        "by row and column, so use puzzles with as many rows as columns",
    )
    require(
        model.vocab_size > NUM_SPECIAL,
        f"vocab_size is {model.vocab_size}, but the first {NUM_SPECIAL} tokens are no symbols",
    )
    require(
        model.vocab_size <= MOST_TOKENS,
        f"{model.vocab_size} tokens would need as many states for each cell; use 'trm', or puzzles "
        f"with at most {MOST_TOKENS} tokens",
    )
    size = model.head_size or model.hidden_size / model.num_heads
    require(
        size % 4 == 0,
        f"the head size is {size:g}, but positions by row and column need a multiple of 4; set "
        "head_size, or change hidden_size or num_heads",
    )
