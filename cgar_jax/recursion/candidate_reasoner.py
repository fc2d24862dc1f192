"""The `CandidateReasoner`: a candidate model bound to its loops, its rule and a mesh.

It is to candidate elimination what `Reasoner` is to deep supervision: immutable and hashable, with
the parameters as an argument. `cgar_jax.evaluation.search` solves puzzles with it.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cgar_jax._core.depth import Depth
from cgar_jax._core.relations import incidence
from cgar_jax.mesh import BATCH
from cgar_jax.models import CandidateModel, CandidateOutputs, ModelParams, empty_states
from cgar_jax.models.singles import left_by_singles
from cgar_jax.recursion import backtracking
from cgar_jax.recursion.backtracking import Chains, SearchRule, go_on
from cgar_jax.recursion.elimination import (
    EliminationRule,
    candidates_of,
    eliminate,
    run_pass,
    tokens_of,
)
from cgar_jax.recursion.rows import where_rows


class Deduction(NamedTuple):
    """The most probable symbols of some puzzles after one pass, without any guess.

    Attributes:
      answers: tokens after the first loop at which they obey the relations, or else after the last
        loop, int32 `[num, cells]`.
      obeys: whether these tokens obey the relations, bool `[num]`.
      loops: number of loops after which they were read, int32 `[num]`.
      removed: share of candidates beyond one per cell that the pass eliminates, float32 `[num]`.
      candidates: candidates that are left after the pass, bool `[num, cells, symbols]`.
    """

    answers: jax.Array
    obeys: jax.Array
    loops: jax.Array
    removed: jax.Array
    candidates: jax.Array


class PassResult(NamedTuple):
    """What one pass found in each chain.

    Attributes:
      answers: tokens that obey the relations where `solved`, int32 `[chains, cells]`.
      solved: whether the chain has found such tokens, bool `[chains]`.
      dead: whether the chain met a contradiction, bool `[chains]`.
      guessed: whether the pass ended with a guess, bool `[chains]`.
      left: candidates that were left before the guess, bool `[chains, cells, symbols]`.
    """

    answers: jax.Array
    solved: jax.Array
    dead: jax.Array
    guessed: jax.Array
    left: jax.Array


@dataclasses.dataclass(frozen=True)
class CandidateReasoner:
    """A candidate model with its number of loops, its search rule and mesh.

    Attributes:
      model: the model.
      depth: depth of a pass, `Depth(0, loops)`.
      mesh: devices over which puzzles and chains are split.
      rule: choices of the search.
      threshold: probability below which `deduce` eliminates a candidate, in [0, 1].
    """

    model: CandidateModel
    depth: Depth
    mesh: Mesh
    rule: SearchRule = dataclasses.field(default_factory=SearchRule)
    threshold: float = 0.1

    def with_loops(self, loops: int) -> "CandidateReasoner":
        """Returns the same reasoner with another number of loops per pass."""
        return dataclasses.replace(self, depth=Depth(0, loops))

    def deduce(self, params: ModelParams, inputs: jax.Array) -> Deduction:
        """Runs one pass on some questions; pure, for use inside `jax.jit`.

        Args:
          params: parameters of the model.
          inputs: tokens, int `[num, cells]`; a multiple of the number of devices.
        """

        @functools.partial(
            jax.shard_map, mesh=self.mesh, in_specs=(PartitionSpec(), BATCH), out_specs=BATCH
        )
        def deduce(variables, inputs):
            question = self._candidates(inputs)
            answers, solved, loops, outputs = self._pass(variables, question, question)
            rule = EliminationRule(self.threshold, 1.0)
            left = eliminate(question, self._given(question), outputs, rule).candidates
            surplus = question.sum((1, 2)) - question.shape[1]
            removed = (question & ~left).sum((1, 2)) / jnp.maximum(surplus, 1)
            return Deduction(answers, solved, loops, removed, left)

        return deduce(params.variables, inputs)

    def begin(self, inputs: jax.Array, seeds: jax.Array) -> Chains:
        """Returns chains that begin with some questions.

        Args:
          inputs: tokens, int `[chains, cells]`.
          seeds: uint32 `[chains]`; chains of one puzzle need different ones.
        """
        return backtracking.begin(self._candidates(jnp.asarray(inputs)), seeds, self.rule)

    def search(self, params: ModelParams, chains: Chains) -> tuple[Chains, PassResult]:
        """Runs one pass of each chain; pure, for use inside `jax.jit`.

        The pass eliminates candidates. A contradiction sends the chain back to its last guess,
        whose symbol is then excluded. Otherwise the chain guesses a symbol of an open cell with
        the fewest candidates.

        Args:
          params: parameters of the model.
          chains: the chains; their number is a multiple of the number of devices.

        Returns:
          The chains after the pass, and what it found.
        """
        function = jax.shard_map(
            self._search,
            mesh=self.mesh,
            in_specs=(PartitionSpec(), BATCH),
            out_specs=BATCH,
        )
        return function(params.variables, chains)

    def _search(self, variables, chains: Chains) -> tuple[Chains, PassResult]:
        given = self._given(chains.question)
        answers, solved, _, outputs = self._pass(variables, chains.question, chains.candidates)
        threshold = self.rule.threshold(chains.restarts)
        rule = EliminationRule(0.0, self.rule.conflict_threshold)
        left, conflict, _ = eliminate(chains.candidates, given, outputs, rule, threshold)
        if self.rule.singles:
            left = left_by_singles(left, self._groups)
        full = (left.sum(-1) == 1).all(-1) & self._obeys(chains.question, left.argmax(-1))
        answers = where_rows(full & ~solved, self._tokens(left.argmax(-1)), answers)
        solved |= full
        dead = ((conflict & (threshold > 0)) | self._contradicts(left)) & ~solved
        chains, guessed = go_on(chains, left, outputs.digit_logits, dead, self.rule)
        return chains, PassResult(answers, solved, dead, guessed, left)

    def _pass(self, variables, question, candidates):
        """Returns answers, whether they obey the relations, the loops they took, and outputs."""

        def read(outputs: CandidateOutputs):
            # A cell with one candidate has that symbol; its digit logits do not matter.
            logits = jnp.where(candidates, outputs.digit_logits, -jnp.inf)
            symbols = logits.argmax(-1)
            return symbols.astype(jnp.int8), self._obeys(question, symbols)

        (states,) = empty_states(self.model, len(candidates))
        states = lax.pcast(states, tuple(self.mesh.axis_names), to="varying")
        _, (symbols, obeys), outputs = run_pass(
            self.model, variables, candidates, states, self.depth.T, read
        )
        solved = obeys.any(0)
        loop = jnp.where(solved, obeys.argmax(0), self.depth.T - 1)
        symbols = jnp.take_along_axis(symbols, loop[None, :, None], axis=0)[0]
        return self._tokens(symbols), solved, loop + 1, outputs

    def _obeys(self, question, symbols):
        """Returns whether symbols `[num, cells]` obey all relations and the given cells."""
        chosen = jax.nn.one_hot(symbols, self.model.num_symbols, dtype=bool)
        counts = self._places(self._groups, chosen)
        given = jnp.take_along_axis(question, symbols[..., None], axis=-1)[..., 0]
        return (counts < 1.5).all((1, 2)) & given.all(-1)

    def _contradicts(self, candidates):
        """Returns whether a cell is empty, or a group cannot be filled."""
        counts = candidates.sum(-1, keepdims=True)
        # Two cells that can only have the same symbol, or a symbol without a place.
        singles = self._places(self._groups, candidates & (counts == 1))
        full = self._groups[self._groups.sum(1) == self.model.num_symbols]
        places = self._places(full, candidates)
        return (counts == 0).any((1, 2)) | (singles > 1.5).any((1, 2)) | (places < 0.5).any((1, 2))

    def _places(self, groups, candidates):
        """Returns the number of places of each symbol in each group."""
        return jnp.einsum("gs,bsv->bgv", groups, candidates.astype(jnp.float32))

    def _tokens(self, symbols):
        model = self.model
        return tokens_of(symbols.astype(jnp.int32), model.vocab_size, model.num_symbols)

    def _candidates(self, inputs):
        return candidates_of(inputs, self.model.vocab_size, self.model.num_symbols)

    def _given(self, question):
        return question.sum(-1) == 1

    @property
    def _groups(self) -> np.ndarray:
        return incidence(self.model.relations, self.model.sequence_length)
