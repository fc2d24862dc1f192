"""How a model comes to its answer: a trace of one puzzle, cycle by cycle."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cgar_jax._core.depth import Depth
from cgar_jax.mesh import place, replicated
from cgar_jax.recursion.thinking import Rows, compiled, empty_states
from cgar_jax.training.state import Weights


class Trace(NamedTuple):
    """What a model thought of one puzzle: a reading of its heads after each cycle."""

    question: np.ndarray  # [num_cells] int32
    answers: np.ndarray  # [readings, num_cells] int32, the most likely tokens
    confidences: np.ndarray  # [readings, num_cells] float32, their probabilities
    halting_probabilities: np.ndarray  # [readings] float32
    num_cycles: int  # T, the readings of each supervision step

    def until_settled(self) -> "Trace":
        """Without the supervision steps in which nothing is new.

        It ends with the first supervision step at or after the last change, of a cell of the answer
        or of whether the model would halt.
        """
        decisions = np.column_stack([self.answers, self.halting_probabilities > 0.5])
        changes = np.flatnonzero((decisions[1:] != decisions[:-1]).any(1)) + 1
        last = changes[-1] if len(changes) else 0
        end = (last // self.num_cycles + 1) * self.num_cycles
        return self._replace(
            answers=self.answers[:end],
            confidences=self.confidences[:end],
            halting_probabilities=self.halting_probabilities[:end],
        )

    def by_supervision_step(self) -> "Trace":
        """With the last reading of each supervision step alone."""
        last = slice(self.num_cycles - 1, None, self.num_cycles)
        return Trace(
            self.question,
            self.answers[last],
            self.confidences[last],
            self.halting_probabilities[last],
            num_cycles=1,
        )


class _Reading(NamedTuple):
    answers: jax.Array  # [rows, num_cells]
    confidences: jax.Array  # [rows, num_cells]
    halting_probabilities: jax.Array  # [rows]


@functools.lru_cache
def _reader(answer_loss: Callable[..., jax.Array]) -> Callable[[Any], _Reading]:
    def read(outputs):
        answers = jnp.argmax(outputs.logits, axis=-1)
        # The probability that the loss trains, which for stablemax is not softmax.
        confidences = jnp.exp(-answer_loss(outputs.logits, answers))
        return _Reading(answers, confidences, jax.nn.sigmoid(outputs.halt_logits))

    return read


def trace(
    model: Any,
    depth: Depth,
    num_steps: int,
    answer_loss: Callable[..., jax.Array],
    weights: Weights,
    mesh: Mesh,
    question: np.ndarray,
    puzzle_identifier: int = 0,
) -> Trace:
    """Lets a model think about a puzzle, and reads its heads after each cycle.

    A confidence is `exp(-answer_loss)` of the most likely token.

    Args:
      model: a flax module of `cgar_jax.models`.
      depth: of each deep recursion; it is run as T cycles, which comes to the same.
      num_steps: supervision steps.
      answer_loss: that it was trained with.
      weights: of the model.
      mesh: where these are.
      question: tokens `[num_cells]`.
      puzzle_identifier: where puzzles have embeddings.
    """
    think = compiled(model, Depth(depth.n, 1), depth.T * num_steps, _reader(answer_loss))
    question, zero = np.asarray(question, np.int32), np.zeros(1, np.int32)
    rows = Rows(question[None], zero + puzzle_identifier, zero, zero, zero)
    rows, states = (
        jax.device_put(each, replicated(mesh)) for each in (rows, empty_states(model, 1))
    )
    _, found = think(weights, states, place(rows, replicated(mesh)))
    answers, confidences, halting = (np.asarray(each)[:, 0] for each in found)
    return Trace(question, answers, confidences, halting, depth.T)
