"""The `Reasoner`: a model bound to its depth, halting rule, answer loss and mesh.

Training has its own step. Everything else (evaluation, solving, rollouts, trajectories) goes
through a `Reasoner`, which is immutable and hashable and takes the parameters as an argument.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cgar_jax._core.depth import Depth
from cgar_jax.losses import softmax_cross_entropy_loss
from cgar_jax.mesh import BATCH, place, replicated
from cgar_jax.models import Model, ModelParams, Outputs, empty_states
from cgar_jax.recursion.deep_recursion import Question, States, supervision_step
from cgar_jax.recursion.halting import HaltingRule
from cgar_jax.recursion.options import PLAIN, RecursionOptions, draw, keys_of_step
from cgar_jax.recursion.rollouts import (
    Noise,
    Prediction,
    Rollouts,
    read_answer,
    read_prediction,
)
from cgar_jax.recursion.rows import where_rows
from cgar_jax.recursion.trajectory import Trajectory

Reader = Callable[[Outputs, Callable[[], jax.Array]], Any]
"""A function from the outputs of a step, and a function that computes the logits before it, to what
is kept."""


class HaltedPredictions(NamedTuple):
    """The predictions of puzzles at the supervision step at which each of them halted.

    Attributes:
      prediction: leaves `[num, ...]`; the residuals are 0, because they are not measured.
      steps_taken: supervision steps of each puzzle, int32 `[num]`.
    """

    prediction: Prediction
    steps_taken: jax.Array


@dataclasses.dataclass(frozen=True)
class Reasoner:
    """A model with its depth, halting rule, answer loss and mesh.

    Attributes:
      model: the model.
      depth: depth of each deep recursion.
      halting_rule: rule by which a puzzle halts; its `max_supervision_steps` is the budget.
      mesh: devices over which batches are split.
      answer_loss: the loss that the model was trained with, `(logits, labels) -> losses`; the
        confidence in an answer is `exp(-answer_loss)`.
      options: options of the recursion.
    """

    model: Model
    depth: Depth
    halting_rule: HaltingRule
    mesh: Mesh
    answer_loss: Callable[..., jax.Array] = softmax_cross_entropy_loss
    options: RecursionOptions = PLAIN

    @property
    def supervision_steps(self) -> int:
        """The number of supervision steps of a rollout that does not halt early."""
        return self.halting_rule.max_supervision_steps

    def with_supervision_steps(self, supervision_steps: int) -> "Reasoner":
        """Returns the same reasoner with another number of supervision steps."""
        rule = dataclasses.replace(self.halting_rule, max_supervision_steps=supervision_steps)
        return dataclasses.replace(self, halting_rule=rule)

    def empty_states(self, num_rows: int) -> States:
        """Returns states, `[num_rows, *state_shape]`, for rollouts that have not begun."""
        return empty_states(self.model, num_rows)

    def think(
        self,
        params: ModelParams,
        states: States,
        rollouts: Rollouts,
        noise: Noise | None = None,
        read: Reader = read_prediction,
    ) -> tuple[States, Any]:
        """Runs all supervision steps of a batch of rollouts; pure, for use inside `jax.jit`.

        Args:
          params: parameters of the model.
          states: states after the steps that the rollouts have taken so far.
          rollouts: the batch.
          noise: noise of the rollouts; None compiles a program without noise.
          read: function from the outputs of a step, and a function that computes the logits before
            it, to the values to keep.

        Returns:
          `(states, readings)`: the states after the last step, and the results of `read` after each
          step, with leaves `[supervision_steps, rows, ...]`.
        """
        model, variables, options = self.model, params.variables, self.options
        question = Question(rollouts.inputs, params.puzzle_rows(rollouts.puzzle_identifiers))
        keys = rollouts.keys()
        hypotheses = rollouts.rollout_indices % model.num_hypotheses
        start = model.apply(variables, keys, hypotheses, method="initial_state")
        begins = rollouts.steps_taken == 0
        states = jax.tree.map(lambda first, now: where_rows(begins, first, now), start, states)

        def step(states, number):
            taken = rollouts.steps_taken + number
            start_of_step = states[0]

            def before():
                # Before the first step there is no answer, so its residual is infinite.
                logits = model.apply(variables, start_of_step, method="heads").logits
                return where_rows(taken == 0, jnp.inf, logits)

            if noise is not None:
                *y, z = states
                states = *y, z + noise.draw(z, rollouts, number)
            draws = draw(keys_of_step(keys, taken), model, options)
            drawn = question._replace(draws=draws, begins=taken == 0)
            states, outputs = supervision_step(model, variables, drawn, states, self.depth, options)
            evidence = self.halting_rule.evidence(outputs)
            return states, read(outputs._replace(halt_logits=evidence), before)

        return lax.scan(step, states, jnp.arange(self.supervision_steps))

    def think_on_mesh(
        self,
        params: ModelParams,
        states: States,
        rollouts: Rollouts,
        noise: Noise | None = None,
        read: Reader = read_prediction,
    ) -> tuple[States, Any]:
        """Runs `think` with the rollouts split over the mesh.

        Each device works on its own rollouts and waits for no other. Arguments and results are
        those of `think`; the number of rows must be divisible by the number of devices.
        """

        @functools.partial(
            jax.shard_map,
            mesh=self.mesh,
            in_specs=(PartitionSpec(), BATCH, BATCH, BATCH, PartitionSpec()),
            out_specs=(BATCH, PartitionSpec(None, *BATCH)),
        )
        def think(variables, puzzle_rows, states, rollouts, noise):
            # Each device holds only the embeddings of its own puzzles, in their order.
            own = rollouts._replace(puzzle_identifiers=jnp.arange(len(puzzle_rows)))
            return self.think(ModelParams(variables, puzzle_rows), states, own, noise, read)

        puzzle_rows = params.puzzle_rows(rollouts.puzzle_identifiers)
        return think(params.variables, puzzle_rows, states, rollouts, noise)

    def run(
        self,
        params: ModelParams,
        states: States,
        rollouts: Rollouts,
        noise: Noise | None = None,
        read: Reader = read_prediction,
    ) -> tuple[States, Any]:
        """Runs `think` in a compiled program; donates `states`.

        Arguments and results are those of `think`. Rollouts are split over the mesh if their number
        is divisible by the number of devices. Equal reasoners and readers share one compiled
        program for each shape.
        """
        return _run(self, params, states, rollouts, noise, read)

    def think_until_halted(
        self, params: ModelParams, inputs: jax.Array, puzzle_identifiers: jax.Array
    ) -> HaltedPredictions:
        """Thinks about each puzzle until it halts, in one dispatch; for use inside `jax.jit`.

        A device works on `num / supervision_steps` of its `num` puzzles at a time. A puzzle that
        halts gives its slot to the next one, so even if the last puzzles take all their steps, they
        cost no more than one step of all puzzles.

        Args:
          params: parameters of the model.
          inputs: tokens, int `[num, sequence_length]`; `num` is divisible by the number of devices.
          puzzle_identifiers: rows of the puzzle embedding, int `[num]`.

        Returns:
          The prediction of each puzzle at the step at which it halted.
        """
        num = len(inputs) // self.mesh.size  # puzzles per device
        num_slots = -(-num // self.supervision_steps)

        # The puzzle index of each slot, and the steps that this puzzle has taken.
        indices = jnp.tile(jnp.arange(num_slots), self.mesh.size)
        slots = indices, jnp.zeros_like(indices)
        states = self.empty_states(len(indices))
        zeros = jnp.zeros(len(inputs))
        nothing = Prediction(jnp.zeros(inputs.shape, jnp.uint8), zeros, zeros)
        found = HaltedPredictions(nothing, jnp.zeros(len(inputs), jnp.int32))
        one_step = self.with_supervision_steps(1)

        @functools.partial(
            jax.shard_map,
            mesh=self.mesh,
            in_specs=(PartitionSpec(), *(BATCH for _ in range(5))),
            out_specs=BATCH,
        )
        def think(variables, puzzle_rows, inputs, slots, states, found):
            def step(loop):
                (indices, steps), states, found = loop
                plain = jnp.zeros_like(steps)
                rollouts = Rollouts(inputs[indices], indices, indices, plain, steps)
                own = ModelParams(variables, puzzle_rows)
                states, readings = one_step.think(own, states, rollouts, read=read_answer)
                now = HaltedPredictions(jax.tree.map(lambda x: x[0], readings), steps + 1)
                # An idle slot has an index beyond the last puzzle, which is dropped.
                found = jax.tree.map(
                    lambda old, new: old.at[indices].set(new, mode="drop"), found, now
                )
                done = self.halting_rule.halts(now.prediction.halt_logits, now.steps_taken)
                following = jnp.max(indices) + jnp.cumsum(done)  # indices are given out in order
                indices = jnp.where(done, jnp.minimum(following, num), indices)
                return (indices, jnp.where(done, 0, now.steps_taken)), states, found

            loop = slots, states, found
            return lax.while_loop(lambda loop: jnp.any(loop[0][0] < num), step, loop)[-1]

        puzzle_rows = params.puzzle_rows(puzzle_identifiers)
        return think(params.variables, puzzle_rows, inputs, slots, states, found)

    def trajectory(
        self, params: ModelParams, question: np.ndarray, puzzle_identifier: int = 0
    ) -> Trajectory:
        """Thinks about one puzzle in all supervision steps, and reads the heads after each cycle.

        Args:
          params: parameters of the model, on the mesh.
          question: tokens, int `[num_cells]`.
          puzzle_identifier: row of the puzzle embedding.

        Returns:
          The readings after each cycle.
        """
        # T supervision steps of one cycle compute the same as one step of T cycles.
        cycles = self.depth.T * self.supervision_steps
        by_cycle = dataclasses.replace(self, depth=Depth(self.depth.n, 1))
        by_cycle = by_cycle.with_supervision_steps(cycles)
        question = np.asarray(question, np.int32)
        rollouts = Rollouts.plain(question[None], np.array([puzzle_identifier], np.int32))
        whole = replicated(self.mesh)
        states = jax.device_put(self.empty_states(1), whole)
        read = _confidence_reader(self.answer_loss)
        _, readings = by_cycle.run(params, states, place(rollouts, whole), read=read)
        answers, confidences, halting = (np.asarray(each)[:, 0] for each in readings)
        return Trajectory(question, answers, confidences, halting, self.depth.T)


@functools.partial(jax.jit, static_argnames=("reasoner", "read"), donate_argnames=("states",))
def _run(
    reasoner: Reasoner,
    params: ModelParams,
    states: States,
    rollouts: Rollouts,
    noise: Noise | None,
    read: Reader,
) -> tuple[States, Any]:
    splits = len(rollouts.inputs) % reasoner.mesh.size == 0
    think = reasoner.think_on_mesh if splits else reasoner.think
    return think(params, states, rollouts, noise, read)


@functools.lru_cache
def _confidence_reader(answer_loss: Callable[..., jax.Array]) -> Reader:
    """Returns a reader of answers, their probabilities and the halting probability.

    It is cached because `Reasoner.run` compiles one program per reader.
    """

    def read(outputs, before):
        del before
        answers = jnp.argmax(outputs.logits, axis=-1)
        # The probability that the loss trains, which for stablemax is not the softmax.
        confidences = jnp.exp(-answer_loss(outputs.logits, answers))
        return answers, confidences, jax.nn.sigmoid(outputs.halt_logits)

    return read
