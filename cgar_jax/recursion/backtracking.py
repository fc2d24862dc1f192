"""Guesses of a search and what becomes of them: the way back from a contradiction.

A chain guesses a symbol where its network leaves several. If the guess ends in a
contradiction, the symbol is excluded from its cell and the search goes on from there, as in the
procedure of Davis, Logemann and Loveland (1962). Because a trained network can be wrong, a chain
also starts again from the question after a number of passes.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cgar_jax._core.ranges import check_integer
from cgar_jax.recursion.elimination import EliminationRule, in_cell, pin, random_index
from cgar_jax.recursion.rows import where_rows


@dataclasses.dataclass(frozen=True)
class SearchRule:
    """The choices of a search.

    Attributes:
      thresholds: thresholds of elimination; each restart of a chain takes the next one. With a
        threshold of 0 the network only chooses what to guess, and the chain does not start again
        before everything is tried: the search is then complete, whatever the network believes. A
        right candidate that a higher threshold eliminates may survive the next lower one.
      conflict_threshold: candidates whose conflict probability is above are a contradiction, in
        [0, 1].
      temperature: temperature of the softmax from which guessed symbols are drawn, above 0. A chain
        guesses the most probable symbol instead until its first restart, and with a threshold of 0.
      singles: whether the rules of `Singles` follow each elimination, until they find nothing more.
      rests: whether a chain guesses only after a pass that eliminates nothing, instead of after
        each pass.
      max_guesses: number of guesses that a chain can take back; 0 starts again from the question at
        each contradiction.
      patience: number of passes after which a chain starts again. It grows by this number each
        time all thresholds have had their turn.

    Raises:
      ValueError: if a setting is out of range.
    """

    thresholds: tuple[float, ...] = (0.0,)
    conflict_threshold: float = 0.95
    temperature: float = 1.5
    singles: bool = True
    rests: bool = False
    max_guesses: int = 48
    patience: int = 64

    def __post_init__(self):
        for threshold in self.thresholds or (None,):
            EliminationRule(threshold, self.conflict_threshold, self.temperature)
        check_integer("SearchRule", "max_guesses", self.max_guesses, "[0, inf)")
        check_integer("SearchRule", "patience", self.patience, "[1, inf)")

    def threshold(self, restarts: jax.Array) -> jax.Array:
        """Returns the threshold of chains after some restarts, `[chains]`."""
        return jnp.asarray(self.thresholds)[restarts % len(self.thresholds)]


class Chains(NamedTuple):
    """The state of chains of a search; the chains come first in every leaf.

    Attributes:
      question: candidates of the puzzle, bool `[chains, cells, symbols]`.
      candidates: candidates that are left, bool `[chains, cells, symbols]`.
      alternatives: candidates to go on with after each guess has failed, bool
        `[chains, max_guesses, cells, symbols]`.
      num_guesses: number of guesses that the candidates rest on, int32 `[chains]`.
      dead_ends: number of contradictions so far, int32 `[chains]`.
      restarts: number of times that the chain started again, int32 `[chains]`.
      passes: number of passes so far, int32 `[chains]`.
      passes_at_start: number of passes when the chain last started again, int32 `[chains]`.
      seeds: number that makes the guesses of a chain its own, uint32 `[chains]`.
    """

    question: jax.Array
    candidates: jax.Array
    alternatives: jax.Array
    num_guesses: jax.Array
    dead_ends: jax.Array
    restarts: jax.Array
    passes: jax.Array
    passes_at_start: jax.Array
    seeds: jax.Array


def begin(question: jax.Array, seeds: jax.Array, rule: SearchRule) -> Chains:
    """Returns chains that begin with some questions.

    Args:
      question: candidates, bool `[chains, cells, symbols]`.
      seeds: uint32 `[chains]`; chains of one puzzle need different ones.
      rule: choices of the search.
    """
    num, cells, symbols = question.shape
    zeros = jnp.zeros(num, jnp.int32)
    return Chains(
        question=question,
        candidates=question,
        alternatives=jnp.zeros((num, rule.max_guesses, cells, symbols), bool),
        num_guesses=zeros,
        dead_ends=zeros,
        restarts=zeros,
        passes=zeros,
        passes_at_start=zeros,
        seeds=jnp.asarray(seeds, jnp.uint32),
    )


def go_on(
    chains: Chains, left: jax.Array, digit_logits: jax.Array, dead: jax.Array, rule: SearchRule
) -> tuple[Chains, jax.Array]:
    """Guesses, goes back or starts again, whatever each chain needs after a pass.

    Args:
      chains: the chains before the pass.
      left: candidates that the pass left, bool `[chains, cells, symbols]`.
      digit_logits: scores of the symbols, `[chains, cells, symbols]`.
      dead: chains whose candidates contradict each other, bool `[chains]`.
      rule: choices of the search.

    Returns:
      The chains for the next pass, and which of them have guessed, bool `[chains]`.
    """
    taken = chains.num_guesses
    passes = chains.passes + 1
    patience = rule.patience * (1 + chains.restarts // len(rule.thresholds))
    no_way_back = (taken == 0) | (taken > rule.max_guesses)
    complete = rule.threshold(chains.restarts) == 0
    impatient = ~complete & (passes - chains.passes_at_start >= patience)
    starts_again = impatient | (dead & no_way_back)
    goes_back = dead & ~starts_again
    guesses = ~dead & ~starts_again & (left.sum(-1) > 1).any(-1)
    if rule.rests:
        guesses &= (left == chains.candidates).all((1, 2))

    cell, symbol = _choose(chains, left, digit_logits, rule)
    pinned = pin(left, cell, symbol, guesses)
    others = left & ~(pinned & in_cell(cell, left.shape[1], guesses)[..., None])
    level = jnp.arange(rule.max_guesses)

    def at(number):
        return (level == number[:, None])[..., None, None]

    earlier = (chains.alternatives & at(taken - 1)).any(1)
    candidates = where_rows(goes_back, earlier, pinned)
    chains = chains._replace(
        candidates=where_rows(starts_again, chains.question, candidates),
        alternatives=jnp.where(
            at(taken) & guesses[:, None, None, None], others[:, None], chains.alternatives
        ),
        num_guesses=jnp.where(starts_again, 0, taken + guesses - goes_back),
        dead_ends=chains.dead_ends + dead,
        restarts=chains.restarts + starts_again,
        passes=passes,
        passes_at_start=jnp.where(starts_again, passes, chains.passes_at_start),
    )
    return chains, guesses


def _choose(
    chains: Chains, left: jax.Array, digit_logits: jax.Array, rule: SearchRule
) -> tuple[jax.Array, jax.Array]:
    """Returns a cell with the fewest candidates, at least two, and a symbol for it, `[chains]`."""

    @jax.vmap
    def choose(seed, number, draws, left, logits):
        cell_key, symbol_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        counts = left.sum(-1)
        is_open = counts > 1
        fewest = jnp.where(is_open, counts, left.shape[1] + 1).min()
        cell = random_index(cell_key, is_open & (counts == fewest))
        scores = jnp.where(left[cell], logits[cell], -1e9)
        drawn = jax.random.categorical(symbol_key, scores / rule.temperature)
        return cell, jnp.where(draws, drawn, scores.argmax())

    # A complete search tries every symbol, so only their order matters.
    draws = (chains.restarts > 0) & (rule.threshold(chains.restarts) > 0)
    return choose(chains.seeds, chains.passes, draws, left, digit_logits)
