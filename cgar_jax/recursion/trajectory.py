"""Trajectories: how a model arrives at its answer to one puzzle, cycle by cycle."""

from typing import NamedTuple

import numpy as np


class Trajectory(NamedTuple):
    """The outputs of the heads for one puzzle after each cycle.

    Attributes:
      question: tokens, int32 `[num_cells]`.
      answers: most likely tokens, int32 `[readings, num_cells]`.
      confidences: probabilities of these tokens, float32 `[readings, num_cells]`.
      halting_probabilities: probabilities of the answer being right, float32 `[readings]`.
      num_cycles: number T of cycles, and thus of readings, in each supervision step.
    """

    question: np.ndarray
    answers: np.ndarray
    confidences: np.ndarray
    halting_probabilities: np.ndarray
    num_cycles: int

    def until_settled(self) -> "Trajectory":
        """Returns the trajectory without the supervision steps at its end that change nothing.

        The last supervision step that is kept is the one with the last change of a cell of the
        answer or of the decision to halt.
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

    def by_supervision_step(self) -> "Trajectory":
        """Returns only the last reading of each supervision step."""
        last = slice(self.num_cycles - 1, None, self.num_cycles)
        return Trajectory(
            self.question,
            self.answers[last],
            self.confidences[last],
            self.halting_probabilities[last],
            num_cycles=1,
        )
