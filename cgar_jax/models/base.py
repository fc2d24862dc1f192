"""The contract between a model and the code that runs it.

A model is a flax module that supplies one small network, an embedding before it and heads after
it. It does not depend on supervision steps, depth, halting, curricula or losses: the recursion
calls its parts, and `Model` lists everything that a caller may rely on. The conformance suite in
`tests/models/test_every_model.py` checks each registered model against this contract.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import jax
import jax.numpy as jnp

from cgar_jax._core.ids import known_ids
from cgar_jax._core.relations import Relation

DTYPES = ("bfloat16", "float16", "float32", "float64")
"""The dtypes in which a model can compute and keep its parameters."""

ShardingRules = tuple[tuple[str, int], ...]
"""Pairs `(pattern, axis)`: matrices whose name matches `pattern` are split along `axis`."""


class Outputs(NamedTuple):
    """The outputs of the heads, computed from the answer state; all float32.

    Attributes:
      logits: scores of the tokens, `[batch, sequence_length, vocab_size]`.
      halt_logits: logits of the answer being right, `[batch]`; positive means that the model halts.
      continue_logits: second halting output, `[batch]`; TRM trains without it.
    """

    logits: jax.Array
    halt_logits: jax.Array
    continue_logits: jax.Array


class CandidateOutputs(NamedTuple):
    """The outputs of the heads of a model that reads candidate sets; all float32.

    Attributes:
      keep_logits: logits of each candidate being right, `[batch, sequence_length, num_symbols]`.
      digit_logits: scores of the symbols of each cell, `[batch, sequence_length, num_symbols]`.
      conflict_logits: logits of the candidates excluding the solution, `[batch]`.
    """

    keep_logits: jax.Array
    digit_logits: jax.Array
    conflict_logits: jax.Array


class ModelParams(NamedTuple):
    """The arrays of a trained model.

    Attributes:
      variables: collections of the flax module, `{"params": ..., "constants": ...}`.
      puzzle_table: puzzle embeddings, `[num_puzzle_identifiers, puzzle_embedding_size]`.
    """

    variables: dict[str, Any]
    puzzle_table: jax.Array

    def puzzle_rows(self, identifiers: jax.typing.ArrayLike) -> jax.Array:
        """Returns the embedding of each puzzle; zeros for an identifier that has no row."""
        return puzzle_rows(self.puzzle_table, identifiers)


def puzzle_rows(puzzle_table: jax.Array, identifiers: jax.typing.ArrayLike) -> jax.Array:
    """Returns rows of a table of puzzle embeddings.

    Args:
      puzzle_table: `[num_puzzle_identifiers, puzzle_embedding_size]`.
      identifiers: int `[...]`.

    Returns:
      `[..., puzzle_embedding_size]`, zeros for an identifier outside the table.
    """
    count = puzzle_table.shape[0]
    identifiers, known = known_ids("puzzle_rows", "identifiers", identifiers, count)
    beyond = jnp.where(known, identifiers, count)
    return puzzle_table.at[beyond].get(mode="fill", fill_value=0)


@runtime_checkable
class Model(Protocol):
    """A model that the recursion, the trainer, the evaluator and the planner can run.

    `length` below stands for the first entry of `state_shape`, the number of positions of a state.

    The variables fall into three collections: `params` (trained by the main optimizer), `constants`
    (initial states, never trained) and `puzzle_embedding` (a table with one row per puzzle
    identifier, trained by its own sparse optimizer; callers pass its rows to `embed`).
    """

    @property
    def vocab_size(self) -> int:
        """The number of tokens, for questions and answers alike."""
        ...

    @property
    def sequence_length(self) -> int:
        """The number of cells of a puzzle."""
        ...

    @property
    def num_puzzle_identifiers(self) -> int:
        """The number of rows of the puzzle-embedding table."""
        ...

    @property
    def dtype(self) -> Any:
        """The dtype of the states and of the computation."""
        ...

    @property
    def param_dtype(self) -> Any:
        """The dtype of the parameters."""
        ...

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of one example's answer or latent state, such as `(length, hidden_size)`."""
        ...

    @property
    def num_states(self) -> int:
        """The number of states: 2, the answer and the latent; or 1, which is both."""
        ...

    @property
    def num_networks(self) -> int:
        """The number of networks: 1; or 2, if a method `answer_network` updates the answer."""
        ...

    @property
    def num_hypotheses(self) -> int:
        """The number of latent states side by side from which an example learns its best."""
        ...

    @property
    def has_halting_head(self) -> bool:
        """Whether the halting logits are trained outputs of the model."""
        ...

    @property
    def batch_axis(self) -> int:
        """The axis on which `network` expects the batch; everywhere else the batch comes first."""
        ...

    @property
    def sharding_rules(self) -> ShardingRules:
        """The rules by which matrices are split over the mesh axis `fsdp`.

        Other arrays are replicated on every device.

        A pattern is a regular expression for the end of a parameter's path.
        """
        ...

    def init(self, key: jax.Array, inputs: jax.Array, puzzle_identifiers: jax.Array) -> Any:
        """Draws all variables.

        Args:
          key: random key.
          inputs: tokens, int `[batch, sequence_length]`; only the shape matters.
          puzzle_identifiers: rows of the puzzle-embedding table, int `[batch]`.
        """
        ...

    def apply(self, variables: Mapping[str, Any], *args: Any, method: str) -> Any:
        """Calls one of the methods below with the given variables, as flax modules do."""
        ...

    def clone(self, **changes: Any) -> Self:
        """Returns the same model with other attributes, as flax modules do."""
        ...

    def embed(self, inputs: jax.Array, puzzle_rows: jax.Array) -> jax.Array:
        """Embeds the question.

        Args:
          inputs: tokens, int `[batch, sequence_length]`.
          puzzle_rows: rows of the puzzle embedding, `[batch, puzzle_embedding_size]`.

        Returns:
          The embedded question, `[batch, *state_shape]` in `dtype`.
        """
        ...

    def network(self, h: jax.Array) -> jax.Array:
        """Applies the one small network.

        Args:
          h: states, `state_shape` with the batch inserted at `batch_axis`.

        Returns:
          An array of the same shape and dtype.
        """
        ...

    def heads(self, y: jax.Array) -> Outputs | CandidateOutputs:
        """Reads the answer state, `[batch, *state_shape]`."""
        ...

    def initial_state(
        self, keys: jax.Array | None = None, hypotheses: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """Returns the `num_states` states with which examples begin.

        Each broadcasts against `[batch, *state_shape]`.

        Args:
          keys: random key of each example, `[batch]`; models whose states begin at constants ignore
            it.
          hypotheses: number of the hypothesis of each example, int `[batch]`; None means the first.
            Models with one hypothesis ignore it.
        """
        ...

    def network_flops(self) -> int:
        """Counts the FLOPs of one `network` call for one example: 2 per multiply-add.

        Only matrix products count, as is usual for "model FLOPs".
        """
        ...

    def heads_flops(self) -> int:
        """Counts the FLOPs of one `heads` call for one example."""
        ...

    def network_activations(self) -> int:
        """Counts the bytes that the backward pass of one `network` call keeps for one example."""
        ...

    def network_traffic(self) -> int:
        """Counts the bytes that one `network` call moves to and from memory for one example."""
        ...


@runtime_checkable
class CandidateModel(Model, Protocol):
    """A model that reads the symbols that are still possible in each cell instead of tokens.

    Its `embed` takes candidates, bool or float `[batch, sequence_length, num_symbols]`, in place of
    tokens, and its `heads` return `CandidateOutputs`.
    """

    def heads(self, y: jax.Array) -> CandidateOutputs:
        """Reads the states after a loop, `[batch, *state_shape]`."""
        ...

    @property
    def num_symbols(self) -> int:
        """The number of symbols of an answer; they are the last tokens of the vocabulary."""
        ...

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The groups of cells that must all differ, by relation."""
        ...


class OneState:
    """Base of models with one state, which one network updates, and without a halting head."""

    num_states: ClassVar[int] = 1
    num_networks: ClassVar[int] = 1
    num_hypotheses: ClassVar[int] = 1
    has_halting_head: ClassVar[bool] = False


def empty_states(model: Model, num_rows: int) -> tuple[jax.Array, ...]:
    """Returns zeros in place of states, each `[num_rows, *model.state_shape]`.

    No two of them share a buffer, so all of them can be donated.
    """
    return tuple(jnp.zeros((model.num_states, num_rows, *model.state_shape), model.dtype))


def run_every_part(model: CandidateModel, inputs: jax.Array) -> CandidateOutputs:
    """Runs embedding, network and heads of a candidate model once; for its `__call__`.

    Args:
      model: the model, inside `init` or `apply`.
      inputs: tokens, int `[batch, sequence_length]`; only the shape matters.
    """
    no_rows = jnp.zeros((len(inputs), 0))
    h = model.embed(jnp.ones((*inputs.shape, model.num_symbols)), no_rows)
    h = model.network(jnp.moveaxis(h, 0, model.batch_axis))
    return model.heads(jnp.moveaxis(h, model.batch_axis, 0))
