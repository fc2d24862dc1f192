"""The contract between the training step and a form of supervision, the outer loop of training.

A form of supervision decides what each slot of the batch carries from one optimizer step to the
next, what a step computes and which losses it has, and when an example leaves its slot.
`DeepSupervision` carries the latent states of TRM; `CandidateElimination` carries sets of
candidates. Drawing examples, weighting losses, differentiating and updating parameters are the same
for all, and belong to `cgar_jax.training.step`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax

from cgar_jax._core.depth import Depth
from cgar_jax.models import Model
from cgar_jax.recursion import Correctness


class Slots(Protocol):
    """The slots of a batch: a pytree whose leaves have the batch as their first axis.

    Attributes:
      examples: the current examples, arrays `[batch, ...]`, see `cgar_jax.data.schema`.
      supervision_step: number of optimizer steps that each example has been in its slot, int32
        `[batch]`.
      halted: whether the slot waits for a fresh example, bool `[batch]`.
    """

    examples: Any
    supervision_step: jax.Array
    halted: jax.Array


class StepOutput(NamedTuple):
    """The result of the forward pass of one optimizer step; the batch comes first in every leaf.

    Attributes:
      states: states to carry to the next step.
      outputs: outputs of the model's heads after the last network call.
      right: correctness of the answers, leaves `[batch]`.
      losses: unreduced losses by term, float32 `[batch]`, or `[batch, exits]` if a step reads the
        heads several times.
    """

    states: Any
    outputs: Any
    right: Correctness
    losses: dict[str, jax.Array]


class Supervision(Protocol):
    """A form of supervision; frozen and hashable, because programs are compiled for it.

    Attributes:
      model: the model.
      loss_terms: names of the loss terms.
    """

    model: Model
    loss_terms: tuple[str, ...]

    def initial_slots(self, examples: Mapping[str, jax.Array]) -> Slots:
        """Returns the slots before the first step; all of them are halted.

        Args:
          examples: arrays `[batch, ...]`; only shapes and dtypes matter.
        """
        ...

    def refill(
        self, slots: Slots, fresh: Mapping[str, jax.Array], variables: Any, key: jax.Array
    ) -> Slots:
        """Gives each halted slot the fresh example at its position.

        Args:
          slots: slots after the previous step.
          fresh: a whole batch of examples; rows of slots that have not halted are ignored.
          variables: variables of the model.
          key: random key.
        """
        ...

    def forward(
        self, variables: Any, puzzle_rows: jax.Array, slots: Slots, depth: Depth
    ) -> StepOutput:
        """Runs the model on some slots and computes their losses; differentiable.

        Each slot is treated independently of the others, so that devices and microbatches can have
        a part of them.

        Args:
          variables: variables of the model.
          puzzle_rows: puzzle embedding of each slot, `[batch, puzzle_embedding_size]`.
          slots: slots from `refill`.
          depth: depth of the step (static).
        """
        ...

    def network_calls(self, depth: Depth) -> int:
        """Returns the number of network calls of a step.

        Args:
          depth: depth of the step (static).
        """
        ...

    def calls_with_gradient(self, depth: Depth) -> int:
        """Returns the number of network calls of a step that run with gradient.

        Args:
          depth: depth of the step (static).
        """
        ...

    def loss_steps(self, slots: Slots, depth: Depth) -> jax.Array:
        """Returns the supervision step of each loss, from 1, as weightings count it.

        Args:
          slots: slots from `refill`.
          depth: depth of the step (static).

        Returns:
          int32 `[batch]`, or `[batch, exits]`.
        """
        ...

    def advance(self, slots: Slots, output: StepOutput, key: jax.Array) -> Slots:
        """Completes a step: stores the detached states and decides which examples leave.

        Args:
          slots: slots from `refill`.
          output: result of `forward`.
          key: random key.
        """
        ...

    def metrics(self, before: Slots, output: StepOutput, after: Slots) -> dict[str, jax.Array]:
        """Returns the metrics of a step, to be summed over steps.

        Args:
          before: slots from `refill`.
          output: result of `forward`.
          after: slots from `advance`.
        """
        ...
