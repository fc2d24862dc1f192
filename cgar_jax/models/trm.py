"""The tiny recursive model (TRM): an embedding, one small network and two heads.

The recursion that calls the network over and over is in `cgar_jax.recursion`; this file does not
depend on it, nor on halting, curricula or losses.

Reference:
  Jolicoeur-Martineau, 2025, "Less is More: Recursive Reasoning with Tiny Networks", arXiv
  2510.04871; as in the released code.
"""

import functools
import math
from collections.abc import Callable
from typing import ClassVar, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name
from cgar_jax._core.relations import Relation, incidence
from cgar_jax.layers import (
    LECUN_NORMAL,
    Attention,
    SwiGLU,
    board_angles,
    gated_inner_size,
    look_up,
    rms_norm,
    rotary_angles,
    rotate,
)
from cgar_jax.models.base import DTYPES, Outputs, ShardingRules

POSITIVE = (
    "vocab_size",
    "sequence_length",
    "num_puzzle_identifiers",
    "hidden_size",
    "num_layers",
    "num_heads",
    "inner_size_multiple",
    "num_hypotheses",
)
CHOICES = {
    "start": ("constant", "random"),
    "mixing": ("mlp", "attention"),
    "positions": ("none", "rotary", "rotary_2d", "rotary_halves", "learned"),
    "mlp": ("swiglu", "normalized", "convolutional"),
    "mixing_norm": ("positions", "features"),
}
BOARD_POSITIONS = ("rotary_2d", "rotary_halves")


class Block(nn.Module):
    """One layer: mixes positions, then features; each is followed by a residual and a norm."""

    mixing: Literal["mlp", "attention"]
    mixing_norm: Literal["positions", "features"]
    num_heads: int
    mlp: Literal["swiglu", "normalized", "convolutional"]
    expansion: float
    inner_size_multiple: int
    dtype: str
    param_dtype: str

    @nn.compact
    def __call__(
        self,
        h: jax.Array,
        turn: Callable[[jax.Array], jax.Array] | None = None,
        relations: np.ndarray | None = None,
    ) -> jax.Array:
        """Maps `[length, batch, hidden]` (MLP) or `[batch, length, hidden]` to the same shape."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        gated = functools.partial(
            SwiGLU,
            expansion=self.expansion,
            inner_size_multiple=self.inner_size_multiple,
            normalized=self.mlp == "normalized",
            **dtypes,
        )
        if self.mixing == "mlp":
            h = h + gated(axis=0, name="token_mlp")(h)
            h = rms_norm(h, axis=0 if self.mixing_norm == "positions" else -1)
        else:
            attention = Attention(self.num_heads, **dtypes, name="attention")
            h = rms_norm(h + attention(h, turn, relations))
        convolution = self.mlp == "convolutional"
        return rms_norm(h + gated(convolution=convolution, name="channel_mlp")(h))


class TRM(nn.Module):
    """The published tiny recursive model: token-mixing MLP or attention, post-norm, SwiGLU.

    It fulfills `cgar_jax.models.Model`. The other choices make it the network of other published
    models: URM has one state, attention and convolutional MLPs, EqR no puzzle-embedding tokens, RSM
    norms over features and a tied head, and sic several hypotheses and a prefix token.

    Attributes:
      vocab_size: number of tokens, for questions and answers alike; with `prefix_token`, the last
        one is the prefix.
      sequence_length: number of cells of a puzzle.
      num_puzzle_identifiers: number of rows of the puzzle-embedding table.
      hidden_size: width of the states.
      num_layers: number of layers of the network.
      num_states: number of states, 2 (answer and latent) or 1 (URM).
      num_networks: number of networks of `num_layers` layers: 1 for both states, or 2, one for each
        (HRM).
      start: states with which examples begin: `"constant"` (the same vector at every position) or
        `"random"` (fresh numbers for every example, position and feature; EqR).
      num_hypotheses: number of latent states with which an example is worked on side by side, each
        with a start of its own (sic); see `cgar_jax.recursion.hypotheses`.
      mixing: method of mixing positions, `"mlp"` (for a fixed number of positions) or
        `"attention"`.
      mixing_norm: axis of the norm after token mixing by an MLP, `"positions"` (as published) or
        `"features"` (RSM).
      positions: position encoding: `"none"`, `"learned"`, or, for attention only, `"rotary"` (the
        cells in a line), `"rotary_2d"` or `"rotary_halves"` (rows and columns of a square board;
        the layouts of SE-RRM and of EqR and sic).
      relation_bias: whether attention has a learned number for each head and relation, which is
        added to the scores of two cells of one group; it begins at zero.
      relations: groups of cells that must all differ, as from `Rules.relations`; for
        `relation_bias`.
      num_heads: number of attention heads.
      mlp: gated MLPs: `"swiglu"`, `"normalized"` (sic), or `"convolutional"` (URM; attention only),
        which combines each position with the one before it.
      expansion: relative width of the gated MLPs, see `cgar_jax.layers.gated_inner_size`.
      inner_size_multiple: unit to which the inner width is rounded up; 256 in the published model.
      puzzle_embedding_tokens: number of positions in front of the puzzle that contain its
        embedding; 0 for none. The halting head reads the first position.
      puzzle_embedding_size: size of a puzzle's embedding, which is padded with zeros to fill these
        positions; 0 means `hidden_size`.
      prefix_token: whether the last token of the vocabulary stands in front of every puzzle, where
        the halting head reads (sic).
      tied_head: whether the answer head is the token embedding (RSM).
      head_bias: whether the answer head has a bias (sic).
      dtype: dtype of the computation, one of `DTYPES`.
      param_dtype: dtype of the parameters, one of `DTYPES`.

    Raises:
      ValueError: if settings are incompatible; the message names them.
    """

    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int = 1
    hidden_size: int = 512
    num_layers: int = 2
    num_states: Literal[1, 2] = 2
    num_networks: Literal[1, 2] = 1
    start: Literal["constant", "random"] = "constant"
    num_hypotheses: int = 1
    mixing: Literal["mlp", "attention"] = "mlp"
    mixing_norm: Literal["positions", "features"] = "positions"
    positions: Literal["none", "rotary", "rotary_2d", "rotary_halves", "learned"] = "none"
    relation_bias: bool = False
    relations: tuple[Relation, ...] = ()
    num_heads: int = 8
    mlp: Literal["swiglu", "normalized", "convolutional"] = "swiglu"
    expansion: float = 4.0
    inner_size_multiple: int = 256
    puzzle_embedding_tokens: int = 16
    puzzle_embedding_size: int = 0
    prefix_token: bool = False
    tied_head: bool = False
    head_bias: bool = False
    dtype: str = "float32"
    param_dtype: str = "float32"

    has_halting_head: ClassVar[bool] = True

    def __post_init__(self):
        _check(self)
        super().__post_init__()

    @property
    def length(self) -> int:
        """The number of positions of a state: those in front of the puzzle, then cells."""
        return self.front + self.sequence_length

    @property
    def front(self) -> int:
        """The number of positions in front of the puzzle."""
        return self.puzzle_embedding_tokens + self.prefix_token

    @property
    def state_shape(self) -> tuple[int, int]:
        """The shape of one example's state, `(length, hidden_size)`."""
        return self.length, self.hidden_size

    @property
    def batch_axis(self) -> int:
        """The axis of the batch in `network`: 1 for `"mlp"`, where the positions come first."""
        return 1 if self.mixing == "mlp" else 0

    @property
    def sharding_rules(self) -> ShardingRules:
        """The rules that split each wide matrix along its wide axis, to divide it evenly."""
        return (
            (r"(gate_up|qkv|token_embedding|position_embedding)", 1),
            (r"(down|output|output_head)", 0),
        )

    def setup(self):
        """Declares the variables of the three collections."""
        embedding_init = nn.initializers.truncated_normal(_truncated(self.hidden_size**-0.5))
        shape = (self.vocab_size, self.hidden_size)
        self.token_embedding = self.param(
            "token_embedding", embedding_init, shape, self.param_dtype
        )
        if self.positions == "learned":
            self.position_embedding = self.param(
                "position_embedding", embedding_init, self.state_shape, self.param_dtype
            )
        block = functools.partial(
            Block,
            mixing=self.mixing,
            mixing_norm=self.mixing_norm,
            num_heads=self.num_heads,
            mlp=self.mlp,
            expansion=self.expansion,
            inner_size_multiple=self.inner_size_multiple,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        self.layers = [block() for _ in range(self.num_layers)]
        if self.num_networks == 2:
            self.answer_layers = [block() for _ in range(self.num_layers)]
        if not self.tied_head:
            head_shape = shape[::-1]
            self.output_head = self.param("output_head", LECUN_NORMAL, head_shape, self.param_dtype)
        zeros, minus_five = nn.initializers.zeros, nn.initializers.constant(-5.0)
        if self.head_bias:
            self.output_bias = self.param(
                "output_bias", zeros, (self.vocab_size,), self.param_dtype
            )
        # As in the published code, the initial halting logits mean that nothing is solved.
        self.halting_head = self.param(
            "halting_head", zeros, (self.hidden_size, 2), self.param_dtype
        )
        self.halting_bias = self.param("halting_bias", minus_five, (2,), self.param_dtype)

        def constant(name, *number):
            def init():
                key = self.make_rng("params")
                return _state_init(key, (*number, self.hidden_size), self.param_dtype)

            return self.variable("constants", name, init).value

        if self.start == "constant":
            # Hypotheses begin at the same answer and at different latent states.
            several = (self.num_hypotheses,) if self.num_hypotheses > 1 else ()
            shapes = (("initial_y",), ("initial_z", *several))
            self.initial = tuple(constant(*shape) for shape in shapes[: self.num_states])
        # Training keeps the table outside the variables and passes its rows to `embed`.
        if self.is_initializing() or self.has_variable("puzzle_embedding", "table"):
            # Without tokens, the table is there, but nothing reads it.
            row_size = self.puzzle_embedding_size or self.hidden_size
            shape = (self.num_puzzle_identifiers, row_size if self.puzzle_embedding_tokens else 1)
            self.puzzle_table = self.variable(
                "puzzle_embedding", "table", jnp.zeros, shape, self.param_dtype
            )

    def embed(self, inputs: jax.Array, puzzle_rows: jax.Array) -> jax.Array:
        """Embeds the question.

        Args:
          inputs: tokens, int `[batch, sequence_length]`.
          puzzle_rows: embeddings of the puzzles, `[batch, puzzle_embedding_size]`.

        Returns:
          The embedded question, `[batch, length, hidden_size]` in `dtype`.
        """
        chex.assert_shape(inputs, (None, self.sequence_length))
        x = look_up(self.token_embedding, inputs).astype(self.dtype)
        if tokens := self.puzzle_embedding_tokens:
            padding = tokens * self.hidden_size - puzzle_rows.shape[-1]
            front = jnp.pad(puzzle_rows.astype(self.dtype), ((0, 0), (0, padding)))
            x = jnp.concatenate([front.reshape(x.shape[0], tokens, self.hidden_size), x], axis=1)
        if self.prefix_token:
            prefix = self.token_embedding[-1].astype(self.dtype)
            prefix = jnp.broadcast_to(prefix, (x.shape[0], 1, self.hidden_size))
            x = jnp.concatenate([prefix, x], axis=1)
        if self.positions == "learned":
            x = math.sqrt(0.5) * (x + self.position_embedding.astype(self.dtype))
        return math.sqrt(self.hidden_size) * x

    def network(self, h: jax.Array) -> jax.Array:
        """Applies the small network to states with the batch at `batch_axis`; keeps the shape.

        With two networks, this is the one of the latent state.
        """
        return self._apply(self.layers, h)

    def answer_network(self, h: jax.Array) -> jax.Array:
        """Applies the network of the answer state; only models with two networks have one."""
        return self._apply(self.answer_layers, h)

    def _apply(self, layers: list[Block], h: jax.Array) -> jax.Array:
        turn, related = self._turn(), None
        if self.relation_bias:
            front = (self.front, 0)
            groups = (incidence([each], self.sequence_length) for each in self.relations)
            related = np.stack([np.pad(same.T @ same > 0, (front, front)) for same in groups])
        for layer in layers:
            h = layer(h, turn, related)
        return h

    def _turn(self) -> Callable[[jax.Array], jax.Array] | None:
        """Returns the rotation of queries and keys by their positions, if there is one."""
        head_size = self.hidden_size // self.num_heads
        if self.positions == "rotary":
            return functools.partial(rotate, angles=rotary_angles(self.length, head_size))
        if self.positions not in BOARD_POSITIONS:
            return None
        width = math.isqrt(self.sequence_length)
        angles = board_angles(width, self.sequence_length, head_size)
        angles = np.pad(angles, ((self.front, 0), (0, 0)))  # the front stands nowhere
        parts = 1 if self.positions == "rotary_2d" else 2
        return functools.partial(rotate, angles=angles, parts=parts)

    def heads(self, y: jax.Array) -> Outputs:
        """Reads logits and halting logits from the answer state, `[batch, length, hidden_size]`."""
        head = self.token_embedding.T if self.tied_head else self.output_head
        logits = y[:, self.front :] @ head.astype(self.dtype)
        if self.head_bias:
            logits = logits + self.output_bias.astype(self.dtype)
        halting = y[:, 0] @ self.halting_head.astype(self.dtype)
        halting = (halting + self.halting_bias.astype(self.dtype)).astype(jnp.float32)
        return Outputs(logits.astype(jnp.float32), halting[:, 0], halting[:, 1])

    def initial_state(
        self, keys: jax.Array | None = None, hypotheses: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """Returns the states with which examples begin.

        Args:
          keys: random key of each example, `[batch]`; only `start="random"` needs it.
          hypotheses: number of the hypothesis of each example, int `[batch]`; None means the first.

        Returns:
          `num_states` arrays in `dtype`: `[hidden_size]`, or `[batch, *state_shape]` if they are
          random; with several hypotheses, the latent state is `[batch, 1, hidden_size]`.
        """
        if self.start == "constant":
            states = tuple(state.astype(self.dtype) for state in self.initial)
            if self.num_hypotheses == 1:
                return states
            y, z = states
            return y, z[0] if hypotheses is None else z[hypotheses, None]
        shape = self.num_states, *self.state_shape

        def draw(key):
            return _state_init(jax.random.fold_in(key, 0), shape, jnp.float32)

        return tuple(jax.vmap(draw, out_axes=1)(keys).astype(self.dtype))

    def __call__(self, inputs: jax.Array, puzzle_identifiers: jax.Array) -> Outputs:
        """Runs every part once, so that `init` finds all variables; training calls the parts."""
        x = self.embed(inputs, self.puzzle_table.value[puzzle_identifiers])
        h = self.network(jnp.moveaxis(x, 0, self.batch_axis))
        if self.num_networks == 2:
            h = self.answer_network(h)
        return self.heads(jnp.moveaxis(h, self.batch_axis, 0))

    def network_flops(self) -> int:
        """Counts the FLOPs of one `network` call for one example: 2 per multiply-add.

        Only matrix products count, as is usual for "model FLOPs"; norms, gates and softmax do not.
        """
        length, hidden = self.state_shape

        def gated(size):
            return 3 * size * gated_inner_size(size, self.expansion, self.inner_size_multiple)

        attention = 4 * hidden * hidden * length + 2 * length * length * hidden
        mix = hidden * gated(length) if self.mixing == "mlp" else attention
        return 2 * self.num_layers * (mix + length * gated(hidden))

    def network_activations(self) -> int:
        """Counts the bytes that the backward pass of one `network` call keeps for one example.

        These are the operands of each matrix product, the gates with their sigmoid and product,
        the attention weights, and, in float32, the inputs of norms and of attention's division.
        JAX's `vjp` of `network` keeps the same arrays, plus some that a compiler recomputes for
        free: `1 - sigmoid(gate)` in each gated MLP, and a second copy of float32 attention weights.
        """
        length, hidden = self.state_shape
        number = jnp.dtype(self.dtype).itemsize
        precise = max(number, 4)
        state = length * hidden

        def gated(size, positions):
            inner = gated_inner_size(size, self.expansion, self.inner_size_multiple)
            return number * (state + 5 * inner * positions)

        weights = self.num_heads * length * length
        rounded = number * weights if number < precise else 0
        attention = (5 * number + precise) * state + precise * weights + rounded
        mix = gated(length, hidden) if self.mixing == "mlp" else attention
        norms = 2 * 2 * precise * state
        return self.num_layers * (mix + gated(hidden, length) + norms)

    def network_traffic(self) -> int:
        """Counts the bytes that one `network` call must at least move for one example.

        The operands and results of the matrix products (without the parameters) are counted once
        each; the operations between two products are assumed to be fused into them.
        """
        length, hidden = self.state_shape
        state = length * hidden

        def gated(size, positions):
            inner = gated_inner_size(size, self.expansion, self.inner_size_multiple)
            return 2 * state + 3 * inner * positions

        attention = 10 * state + 2 * self.num_heads * length * length
        mix = gated(length, hidden) if self.mixing == "mlp" else attention
        moved = self.num_layers * (mix + gated(hidden, length))
        return jnp.dtype(self.dtype).itemsize * moved

    def heads_flops(self) -> int:
        """Counts the FLOPs of one `heads` call for one example."""
        return 2 * self.hidden_size * (self.sequence_length * self.vocab_size + 2)


def _truncated(standard_deviation: float) -> float:
    """Returns the scale of a normal that has this standard deviation after truncation at 2."""
    return standard_deviation / 0.87962566103423978


_state_init = nn.initializers.truncated_normal(_truncated(1.0))


def _check(model: TRM) -> None:
    """Raises a ValueError for settings that cannot work, before anything is traced."""

    def require(condition: bool, message: str):
        if not condition:
            raise ValueError(f"TRM: {message}")

    for name in POSITIVE:
        check_integer("TRM", name, getattr(model, name), "[1, inf)")
    check_number("TRM", "expansion", model.expansion, "(0, inf)")
    for name in ("dtype", "param_dtype"):
        check_name(f"{name} of TRM", getattr(model, name), DTYPES)
    for name, accepted in CHOICES.items():
        check_name(f"{name} of TRM", getattr(model, name), accepted)
    check_integer("TRM", "num_states", model.num_states, "[1, 2]")
    check_integer("TRM", "num_networks", model.num_networks, "[1, 2]")
    require(
        model.num_networks <= model.num_states,
        "num_networks=2 needs num_states=2, because each network updates a state of its own",
    )
    require(
        model.num_hypotheses == 1 or model.num_states == 2,
        f"num_hypotheses={model.num_hypotheses} needs num_states=2, because hypotheses share their "
        "answer and differ in their latent states",
    )
    check_integer("TRM", "puzzle_embedding_tokens", model.puzzle_embedding_tokens, "[0, inf)")
    require(
        not (model.mixing == "mlp" and model.mlp == "convolutional"),
        "mlp='convolutional' needs mixing='attention', because token mixing keeps the positions on "
        "another axis",
    )
    rotary = "rotary", *BOARD_POSITIONS
    require(
        not (model.mixing == "mlp" and model.positions in rotary),
        "rotary positions need mixing='attention'; a token-mixing MLP needs no position encoding",
    )
    require(
        not (model.mixing == "mlp" and model.relation_bias),
        "relation_bias needs mixing='attention', whose scores it changes",
    )
    require(
        bool(model.relations) or not model.relation_bias,
        "relation_bias needs the relations of puzzles with groups of cells that must all differ",
    )
    if model.mixing == "attention":
        require(
            model.hidden_size % model.num_heads == 0,
            f"hidden_size {model.hidden_size} is not divisible by num_heads {model.num_heads}",
        )
        require(
            model.positions != "rotary" or model.hidden_size // model.num_heads % 2 == 0,
            f"rotary positions need an even head size, but hidden_size / num_heads is "
            f"{model.hidden_size // model.num_heads}",
        )
    if model.positions in BOARD_POSITIONS:
        require(
            model.hidden_size // model.num_heads % 4 == 0,
            f"positions={model.positions!r} needs a head size that is a multiple of 4, but "
            f"hidden_size / num_heads is {model.hidden_size / model.num_heads:g}",
        )
        require(
            math.isqrt(model.sequence_length) ** 2 == model.sequence_length,
            f"positions={model.positions!r} needs a square board, but there are "
            f"{model.sequence_length} cells; use 'rotary'",
        )
    size, room = model.puzzle_embedding_size, model.puzzle_embedding_tokens * model.hidden_size
    check_integer("TRM", "puzzle_embedding_size", size, "[0, inf)")
    require(
        size <= room,
        f"puzzle_embedding_size {size} does not fit into "
        f"{model.puzzle_embedding_tokens} tokens of {model.hidden_size}; use at most {room}",
    )
