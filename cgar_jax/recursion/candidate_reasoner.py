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
from cgar_jax.models import CandidateModel, CandidateOutputs, ModelParams
from cgar_jax.recursion.elimination import (
    EliminationRule,
    candidates_of,
    eliminate,
    pin,
    run_pass,
    tokens_of,
)


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


class Chains(NamedTuple):
    """The state of chains of a search; the chains come first in every leaf.

    Attributes:
      question: candidates of the puzzle, bool `[chains, cells, symbols]`.
      candidates: candidates that are left, bool `[chains, cells, symbols]`.
      restarts: number of dead ends so far, int32 `[chains]`.
      passes: number of passes so far, int32 `[chains]`.
      seeds: number that makes the guesses of a chain its own, uint32 `[chains]`.
    """

    question: jax.Array
    candidates: jax.Array
    restarts: jax.Array
    passes: jax.Array
    seeds: jax.Array


class PassResult(NamedTuple):
    """What one pass found in each chain.

    Attributes:
      answers: tokens that obey the relations where `solved`, int32 `[chains, cells]`.
      solved: whether the chain has found such tokens, bool `[chains]`.
      dead: whether the chain met a contradiction and starts again, bool `[chains]`.
      guessed: whether the pass ended with a guess, bool `[chains]`.
    """

    answers: jax.Array
    solved: jax.Array
    dead: jax.Array
    guessed: jax.Array


@dataclasses.dataclass(frozen=True)
class SearchRule:
    """The choices of a search.

    Attributes:
      thresholds: thresholds of elimination; each restart of a chain takes the next one. A right
        candidate that one threshold eliminates may survive a lower one.
      conflict_threshold: a chain whose conflict probability is above starts again, in [0, 1].
      temperature: temperature of the softmax from which guessed symbols are drawn, above 0. Until
        its first dead end, a chain guesses the most probable symbol.
    """

    thresholds: tuple[float, ...] = (0.1, 0.05, 0.02, 0.01)
    conflict_threshold: float = 0.95
    temperature: float = 1.5

    def __post_init__(self):
        for threshold in self.thresholds or (None,):
            EliminationRule(threshold, self.conflict_threshold, self.temperature)


@dataclasses.dataclass(frozen=True)
class CandidateReasoner:
    """A candidate model with its number of loops, its search rule and mesh.

    Attributes:
      model: the model.
      depth: depth of a pass, `Depth(0, loops)`.
      mesh: devices over which puzzles and chains are split.
      rule: choices of the search.
    """

    model: CandidateModel
    depth: Depth
    mesh: Mesh
    rule: SearchRule = dataclasses.field(default_factory=SearchRule)

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
            rule = EliminationRule(self.rule.thresholds[0], 1.0)
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
        question = self._candidates(jnp.asarray(inputs))
        zeros = jnp.zeros(len(question), jnp.int32)
        return Chains(question, question, zeros, zeros, jnp.asarray(seeds, jnp.uint32))

    def search(self, params: ModelParams, chains: Chains) -> tuple[Chains, PassResult]:
        """Runs one pass of each chain; pure, for use inside `jax.jit`.

        The pass eliminates candidates. A contradiction sends the chain back to the question. If
        nothing was eliminated, the chain guesses a symbol of an open cell with the fewest
        candidates.

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
        thresholds = jnp.asarray(self.rule.thresholds)[chains.restarts % len(self.rule.thresholds)]
        rule = EliminationRule(0.0, self.rule.conflict_threshold, self.rule.temperature)
        found = eliminate(chains.candidates, given, outputs, rule, thresholds)
        dead = (found.conflict | self._contradicts(found.candidates)) & ~solved
        rests = (found.candidates == chains.candidates).all((1, 2)) & ~dead & ~solved
        guessed, guesses = self._guess(found.candidates, outputs, chains, rests)
        left = jnp.where(dead[:, None, None], chains.question, guessed)
        # A full grid that breaks a rule is a dead end as well, which `_contradicts` finds.
        chains = chains._replace(
            candidates=left, restarts=chains.restarts + dead, passes=chains.passes + 1
        )
        return chains, PassResult(answers, solved, dead, guesses)

    def _pass(self, variables, question, candidates):
        """Returns answers, whether they obey the relations, the loops they took, and outputs."""

        def read(outputs: CandidateOutputs):
            # A cell with one candidate has that symbol; its digit logits do not matter.
            logits = jnp.where(candidates, outputs.digit_logits, -jnp.inf)
            symbols = logits.argmax(-1)
            return symbols.astype(jnp.int8), self._obeys(question, symbols)

        states = jnp.zeros((len(candidates), *self.model.state_shape), self.model.dtype)
        states = lax.pcast(states, tuple(self.mesh.axis_names), to="varying")
        _, (symbols, obeys), outputs = run_pass(
            self.model, variables, candidates, states, self.depth.T, read
        )
        solved = obeys.any(0)
        loop = jnp.where(solved, obeys.argmax(0), self.depth.T - 1)
        symbols = jnp.take_along_axis(symbols, loop[None, :, None], axis=0)[0]
        answers = tokens_of(
            symbols.astype(jnp.int32), self.model.vocab_size, self.model.num_symbols
        )
        return answers, solved, loop + 1, outputs

    def _guess(self, candidates, outputs, chains, where):
        counts = candidates.sum(-1)
        is_open = counts > 1
        keys = jax.vmap(lambda seed, passes: jax.random.fold_in(jax.random.key(seed), passes))(
            chains.seeds, chains.passes
        )
        first = chains.restarts == 0

        def choose(key, counts, is_open, logits, candidates, first):
            cell_key, symbol_key = jax.random.split(key)
            fewest = jnp.where(is_open, counts, counts.shape[0] + 1).min()
            noise = jax.random.uniform(cell_key, counts.shape)
            cell = jnp.argmax(jnp.where(is_open & (counts == fewest), noise, -1.0))
            scores = jnp.where(candidates[cell], logits[cell], -1e9)
            drawn = jax.random.categorical(symbol_key, scores / self.rule.temperature)
            return cell, jnp.where(first, scores.argmax(), drawn)

        cell, symbol = jax.vmap(choose)(
            keys, counts, is_open, outputs.digit_logits, candidates, first
        )
        guesses = where & is_open.any(-1)
        return pin(candidates, cell, symbol, guesses), guesses

    def _obeys(self, question, symbols):
        """Returns whether symbols `[num, cells]` obey all relations and the given cells."""
        chosen = symbols[..., None] == jnp.arange(self.model.num_symbols)
        counts = jnp.einsum("gs,bsv->bgv", self._groups, chosen.astype(jnp.float32))
        given = jnp.take_along_axis(question, symbols[..., None], axis=-1)[..., 0]
        return (counts < 1.5).all((1, 2)) & given.all(-1)

    def _contradicts(self, candidates):
        """Returns whether a group that needs every symbol has no place for one of them."""
        full = np.flatnonzero(self._groups.sum(1) == self.model.num_symbols)
        if not len(full):
            return jnp.zeros(len(candidates), bool)
        groups = self._groups[full]
        places = jnp.einsum("gs,bsv->bgv", groups, candidates.astype(jnp.float32))
        # Two cells that can only have the same symbol.
        single = candidates & (candidates.sum(-1, keepdims=True) == 1)
        singles = jnp.einsum("gs,bsv->bgv", self._groups, single.astype(jnp.float32))
        return (places < 0.5).any((1, 2)) | (singles > 1.5).any((1, 2))

    def _candidates(self, inputs):
        return candidates_of(inputs, self.model.vocab_size, self.model.num_symbols)

    def _given(self, question):
        return question.sum(-1) == 1

    @property
    def _groups(self) -> np.ndarray:
        return incidence(self.model.relations, self.model.sequence_length)
