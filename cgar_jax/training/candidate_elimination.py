"""Training of candidate models on the states that their own search visits.

Each slot holds a puzzle and the candidates that are left. After each optimizer step, its candidates
are eliminated by the network's own outputs and one cell is guessed, so that the network learns from
right, wrong and contradictory candidates in the proportions in which a search meets them. Some
slots keep their candidates and continue to think instead: their states are carried from step to
step, as in deep supervision, which trains many more loops than one step computes.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cgar_jax import losses
from cgar_jax._core.depth import Depth
from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax.models import CandidateModel, CandidateOutputs, empty_states
from cgar_jax.recursion import correctness_of_answers
from cgar_jax.recursion.elimination import (
    EliminationRule,
    branch,
    eliminate,
    has_conflict,
    in_cell,
    pin,
    random_index,
    run_pass,
    symbols_of,
    tokens_of,
)
from cgar_jax.recursion.rows import where_rows
from cgar_jax.training.mixture import Mixture
from cgar_jax.training.step_metrics import finished_metrics, masked_sum
from cgar_jax.training.supervision import StepOutput


class CandidateSlots(NamedTuple):
    """The slots of candidate elimination; the batch comes first in every leaf.

    Attributes:
      candidates: symbols that are left, bool `[batch, cells, symbols]`.
      fixed: cells that were given, or filled in when the puzzle was drawn, bool `[batch, cells]`.
      thinks: whether the slot keeps its candidates and carries its states, bool `[batch]`.
      states: states that the next step begins with, `[batch, *state_shape]`.
      supervision_step: number of steps that the example has taken, int32 `[batch]`.
      halted: whether the slot waits for a fresh example, bool `[batch]`.
      examples: the current examples, arrays `[batch, ...]`.
    """

    candidates: jax.Array
    fixed: jax.Array
    thinks: jax.Array
    states: jax.Array
    supervision_step: jax.Array
    halted: jax.Array
    examples: Any


@dataclasses.dataclass(frozen=True)
class CandidateLosses:
    """The weights of the three losses of candidate elimination.

    Attributes:
      digit_weight: weight of the cross-entropy of the symbols in open cells.
      keep_weight: weight of `losses.keep_loss`.
      conflict_weight: weight of the binary cross-entropy of conflicts.
    """

    digit_weight: float = 1.0
    keep_weight: float = 1.0
    conflict_weight: float = 0.3

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_number("CandidateLosses", field.name, getattr(self, field.name), "[0, inf)")


@dataclasses.dataclass(frozen=True)
class CandidateElimination:
    """Supervision of every loop of a pass; fulfills `cgar_jax.training.supervision.Supervision`.

    Attributes:
      model: a candidate model.
      rule: rule by which candidates are eliminated and symbols guessed.
      mixture: mixture of states in which puzzles begin.
      loss_weights: weights of the three losses.
      max_passes: number of steps after which a searching example leaves its slot.
      max_thoughts: number of steps after which a thinking example leaves its slot.
      helped: probability that a thinking example which is not solved yet gets one more right symbol
        after a step, so that every puzzle ends as hard as the model can just solve it.

    Reference:
      Davis, Haller, Alfarano and Santolucito, 2026, arXiv 2605.08605, as in the released code. The
      thinking slots are ours.
    """

    model: CandidateModel
    rule: EliminationRule = dataclasses.field(default_factory=EliminationRule)
    mixture: Mixture = dataclasses.field(default_factory=Mixture)
    loss_weights: CandidateLosses = dataclasses.field(default_factory=CandidateLosses)
    max_passes: int = 100
    max_thoughts: int = 8
    helped: float = 1.0

    loss_terms: ClassVar[tuple[str, ...]] = ("digit", "keep", "conflict")

    def __post_init__(self):
        for name in ("max_passes", "max_thoughts"):
            check_integer("CandidateElimination", name, getattr(self, name), "[1, inf)")
        check_number("CandidateElimination", "helped", self.helped, "[0, 1]")

    def initial_slots(self, examples: Mapping[str, jax.Array]) -> CandidateSlots:  # noqa: D102
        batch, cells = examples["inputs"].shape
        none = jnp.zeros(batch, bool)
        (states,) = empty_states(self.model, batch)
        return CandidateSlots(
            candidates=jnp.zeros((batch, cells, self.model.num_symbols), bool),
            fixed=jnp.zeros((batch, cells), bool),
            thinks=none,
            states=states,
            supervision_step=jnp.zeros(batch, jnp.int32),
            halted=~none,
            examples=jax.tree.map(jnp.zeros_like, dict(examples)),
        )

    def refill(  # noqa: D102
        self, slots: CandidateSlots, fresh: Mapping[str, jax.Array], variables: Any, key: jax.Array
    ) -> CandidateSlots:
        del variables
        halted = slots.halted
        solution = self._solution(fresh["labels"])
        candidates, fixed, thinks = self.mixture.begin(self.model, fresh["inputs"], solution, key)
        begun = CandidateSlots(
            candidates=candidates,
            fixed=fixed,
            thinks=thinks,
            states=jnp.zeros_like(slots.states),
            supervision_step=jnp.zeros_like(slots.supervision_step),
            halted=jnp.zeros_like(halted),
            examples=dict(fresh),
        )

        return jax.tree.map(functools.partial(where_rows, halted), begun, slots)

    def forward(  # noqa: D102
        self, variables: Any, puzzle_rows: jax.Array, slots: CandidateSlots, depth: Depth
    ) -> StepOutput:
        del puzzle_rows
        solution = self._solution(slots.examples["labels"])
        conflict = has_conflict(slots.candidates, solution)
        labeled = solution >= 0
        counted = labeled & ~slots.fixed & ~conflict[:, None]
        # Once the candidates exclude the solution, no symbol of it is right any more: what follows
        # from a wrong guess is then a label too, and a contradiction shows in the candidates.
        right = (
            slots.candidates
            & jax.nn.one_hot(solution, self.model.num_symbols, dtype=bool)
            & ~conflict[:, None, None]
        )

        def read(outputs: CandidateOutputs):
            digits = losses.softmax_cross_entropy_loss(
                outputs.digit_logits, solution, where=counted
            )
            keeps = losses.keep_loss(outputs.keep_logits, right, where=labeled)
            conflicts = losses.halting_loss(outputs.conflict_logits, conflict)
            return {
                "digit": self.loss_weights.digit_weight * losses.masked_mean(digits, counted, -1),
                "keep": self.loss_weights.keep_weight * keeps.mean((1, 2)),
                "conflict": self.loss_weights.conflict_weight * conflicts,
            }

        states, by_loop, outputs = run_pass(
            self.model, variables, slots.candidates, slots.states, depth.T, read
        )
        answers = self._answers(slots, outputs)
        answered = correctness_of_answers(answers, slots.examples["labels"])
        per_example = jax.tree.map(lambda loss: jnp.moveaxis(loss, 0, 1), by_loop)
        return StepOutput(states, outputs, answered, per_example)

    def network_calls(self, depth: Depth) -> int:  # noqa: D102
        return depth.network_calls

    def calls_with_gradient(self, depth: Depth) -> int:  # noqa: D102
        return depth.T

    def loss_steps(self, slots: CandidateSlots, depth: Depth) -> jax.Array:  # noqa: D102
        return jnp.broadcast_to(jnp.arange(1, depth.T + 1), (len(slots.halted), depth.T))

    def advance(  # noqa: D102
        self, slots: CandidateSlots, output: StepOutput, key: jax.Array
    ) -> CandidateSlots:
        outputs, solution = output.outputs, self._solution(slots.examples["labels"])
        branch_key, help_key = jax.random.split(key)
        taken = slots.supervision_step + 1
        found = eliminate(slots.candidates, slots.fixed, outputs, self.rule)
        searches = ~slots.thinks
        goes_on = searches & ~found.conflict & ~found.solved
        candidates = branch(found.candidates, outputs, self.rule, branch_key, goes_on)
        # A false alarm stays, so that the network can learn that it is one.
        dead_end = found.conflict & has_conflict(found.candidates, solution)
        leaves = jnp.where(
            slots.thinks,
            output.right.exact | (taken >= self.max_thoughts),
            found.solved | dead_end | (taken >= self.max_passes),
        )
        thought, fixed = self._help(slots, slots.thinks & ~leaves, solution, help_key)
        return slots._replace(
            candidates=where_rows(searches, candidates, thought),
            fixed=fixed,
            states=lax.stop_gradient(where_rows(searches, 0, output.states)),
            supervision_step=taken,
            halted=leaves | ~output.right.counts,
        )

    def _help(
        self, slots: CandidateSlots, unsolved: jax.Array, solution: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Fills one random open cell in a share `helped` of the unsolved rows.

        A row whose candidates exclude the solution gets no help: nothing would be right there.

        Returns:
          The new candidates and fixed cells.
        """
        row_key, cell_key = jax.random.split(key)
        is_open = ~slots.fixed & (solution >= 0)
        helps = unsolved & jax.random.bernoulli(row_key, self.helped, unsolved.shape)
        helps &= is_open.any(-1) & ~has_conflict(slots.candidates, solution)
        cell = random_index(cell_key, is_open)
        symbol = jnp.take_along_axis(solution, cell[:, None], axis=1)[:, 0]
        filled = in_cell(cell, is_open.shape[1], helps)
        return pin(slots.candidates, cell, symbol, helps), slots.fixed | filled

    def metrics(  # noqa: D102
        self, before: CandidateSlots, output: StepOutput, after: CandidateSlots
    ) -> dict[str, jax.Array]:
        solution = self._solution(before.examples["labels"])
        conflict = has_conflict(before.candidates, solution)
        eliminated = (
            before.candidates
            & ~eliminate(before.candidates, before.fixed, output.outputs, self.rule).candidates
        )
        right = jax.nn.one_hot(solution, self.model.num_symbols, dtype=bool)
        sound = ~conflict & output.right.counts
        wrong = jnp.where(sound[:, None, None], before.candidates & ~right, False)
        lost = (eliminated & right).any((1, 2))
        flagged = output.outputs.conflict_logits > 0
        return {
            "removed_fraction": (eliminated & wrong).sum() / jnp.maximum(wrong.sum(), 1),
            "unsound_fraction": masked_sum(sound, lost) / jnp.maximum(sound.sum(), 1),
            "conflict_accuracy": jnp.mean(flagged == conflict, dtype=jnp.float32),
            "conflict_fraction": jnp.mean(conflict, dtype=jnp.float32),
            # Accuracies are those of the thinking slots that are not misled.
            **finished_metrics(before.thinks & ~conflict, output, after),
        }

    def _solution(self, labels: jax.Array) -> jax.Array:
        """Returns the symbols of the solution, counted from 0; -1 without a label."""
        return symbols_of(labels, self.model.vocab_size, self.model.num_symbols)

    def _answers(self, slots: CandidateSlots, outputs: CandidateOutputs) -> jax.Array:
        """Returns the tokens of the most probable symbols; fixed cells keep theirs."""
        symbols = jnp.where(
            slots.fixed, slots.candidates.argmax(-1), outputs.digit_logits.argmax(-1)
        )
        return tokens_of(symbols, self.model.vocab_size, self.model.num_symbols)
