"""A `TrainedModel` solves, evaluates, animates and exports; `model_loading` makes one."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from cgar_jax import data, experiment, model_files, models, runs
from cgar_jax._core.extras import explain_missing
from cgar_jax.data import Questions, Rules, read_questions
from cgar_jax.data.symmetries import LineSymmetries, SquareSymmetries
from cgar_jax.data.trained_rows import load_as_trained
from cgar_jax.evaluation import (
    Proof,
    RolloutOptions,
    Search,
    SearchOptions,
    SearchTrajectory,
    Solution,
    Solver,
    SolverOptions,
)
from cgar_jax.evaluation.rollout_accuracy import accuracy_and_cost, record
from cgar_jax.evaluation.stablehlo import solving_program
from cgar_jax.experiment import Experiment, Task
from cgar_jax.models import ModelParams
from cgar_jax.recursion import CandidateReasoner, Reasoner, Trajectory
from cgar_jax.reporting.model_card import model_card
from cgar_jax.training.state import averaged


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model, as returned by `load`.

    Attributes:
      experiment: the objects that its config names, on a mesh of the devices here.
      params: averaged parameters, on the mesh.
      step: number of optimizer steps that it was trained for; 0 if unknown.
      origin: name of the published checkpoint that it was converted from, or "".
      folder: folder that it was loaded from, or None.
      trained_on: fingerprint of its training data, or None if unknown.
    """

    experiment: Experiment
    params: ModelParams
    step: int = 0
    origin: str = ""
    folder: pathlib.Path | None = None
    trained_on: data.Fingerprint | None = None

    @property
    def config(self) -> ml_collections.ConfigDict:
        """The config that it was trained with."""
        return self.experiment.config

    @property
    def _metadata(self) -> dict[str, Any]:
        return {"step": self.step, "origin": self.origin}

    @property
    def reasoner(self) -> Reasoner | CandidateReasoner:
        """The model at the depth and with the supervision steps of its training."""
        return self.experiment.reasoner

    @property
    def accepts(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
        """`(questions, answers) -> bool [num]` by the rules of its puzzles; None without rules."""
        rules = data.family_of(self.config.data.name).rules
        return rules and rules.accepts

    @property
    def rules(self) -> Rules:
        """The rules of its puzzles.

        Raises:
          ValueError: if the model can only answer puzzles that it was trained on (ARC).
        """
        return data.rules_of(self.config.data.name)

    @property
    def symmetries(self) -> LineSymmetries | SquareSymmetries:
        """The symmetries of its puzzles.

        Raises:
          ValueError: if they have none.
        """
        found = self.rules.symmetries(self.experiment.task.sequence_length)
        if found is None:
            raise ValueError(f"{self.config.data.name} puzzles have no symmetric copies")
        return found

    def read(
        self,
        puzzles: str | os.PathLike | Sequence[str],
        where: str = "puzzles",
        skip_bad: bool = False,
    ) -> Questions:
        """Reads puzzles of the model's family and size.

        Args:
          puzzles: a text, several texts, or the `pathlib.Path` of a file; each holds puzzles, one
            per line, drawn in rows or in a table.
          where: name of the text in error messages.
          skip_bad: whether bad puzzles are skipped with a warning instead of raising an error.

        Raises:
          ValueError: if puzzles are malformed or of another size; the message names their places.
          OSError: if the file does not exist.
        """
        texts = [puzzles] if isinstance(puzzles, str | os.PathLike) else list(puzzles)
        num_cells = self.experiment.task.sequence_length
        return Questions.join(
            [read_questions(text, self.rules, num_cells, where, skip_bad) for text in texts]
        )

    def for_cells(self, num_cells: int) -> "TrainedModel":
        """Returns the model for puzzles of another size, with the same parameters.

        The parameters of `relational`, for example, do not depend on the size of the board.

        Args:
          num_cells: number of cells of a puzzle.

        Raises:
          ValueError: if no puzzle of the family has this size, or the parameters depend on it.
        """
        task = self.experiment.task
        if num_cells == task.sequence_length:
            return self
        sizes = {"vocab_size": self.rules.vocab_size(num_cells), "sequence_length": num_cells}
        built = build(self.config, dataclasses.replace(task, **sizes))
        if jax.tree.map(np.shape, averaged(built.abstract_state())) != jax.tree.map(
            np.shape, self.params
        ):
            raise ValueError(
                f"the puzzles have {num_cells} cells; the model was trained on "
                f"{task.sequence_length}, and its parameters do not fit another size"
            )
        return dataclasses.replace(self, experiment=built)

    def solver(self, *, views: bool = False, **options: Any) -> Solver | Search:
        """Makes a solver that checks answers by the rules of the puzzles.

        For a model that eliminates candidates, this is a search.

        Args:
          views: whether all rollouts of a puzzle but the first work on symmetric copies of it, and
            without noise; not for a search.
          **options: settings of `SolverOptions`, or `SearchOptions` for a search.

        Raises:
          ValueError: if an option is wrong, or `views` is set for a search or for puzzles without
            symmetries.
        """
        if isinstance(self.reasoner, CandidateReasoner):
            if views:
                raise ValueError("views are for rollouts; this model searches, by candidates")
            return Search(self.reasoner, self.params, self.accepts, SearchOptions(**options))
        if views:
            options["symmetries"] = self.symmetries
        return Solver(self.reasoner, self.params, self.accepts, SolverOptions(**options))

    def solve(
        self, puzzles: str | Sequence[str] | np.ndarray, **options: Any
    ) -> list[Solution] | list[Proof]:
        """Solves puzzles.

        Args:
          puzzles: texts as for `read`, or tokens `[num, num_cells]`.
          **options: as for `solver`.

        Returns:
          A solution or proof for each puzzle, in order.
        """
        questions = puzzles if isinstance(puzzles, np.ndarray) else self.read(puzzles).tokens
        return self.solver(**options)(questions)

    def evaluate(
        self,
        data_file: str | os.PathLike | None = None,
        skip_bad: bool = False,
        on_progress: Callable[[int], None] = lambda num_done: None,
    ) -> dict[str, Any]:
        """Scores the model: averaged parameters, full depth, all supervision steps.

        For ARC runs this writes `submission.json` into the folder of the run.

        Args:
          data_file: table of puzzles with answers, such as a CSV file in the schema of the public
            files; None means the test split of the data that the model was trained on.
          skip_bad: whether bad lines are skipped with a warning instead of raising an error.
          on_progress: called with the number of newly scored examples.

        Returns:
          The scores of `Evaluator`, those of voting for ARC, and `step`.

        Raises:
          ValueError: if a line is malformed, the puzzles do not have the model's size, or a file is
            given although the family has no files.
          OSError: if the file does not exist.
        """
        if data_file is None:
            dataset = self.dataset()
            scores = runs.score(self.experiment, self.params, dataset, self.folder, on_progress)
        else:
            examples, fitting = self._read_fitting(data_file, skip_bad)
            scores = fitting.experiment.evaluator(self.params, examples, self.accepts, on_progress)
        return scores | {"step": self.step}

    def dataset(self) -> data.Dataset:
        """Loads the data that the config describes, as they are now.

        If the training split is no longer what the model was trained on, a warning describes the
        change. The embedding of an ARC puzzle is found by the puzzle's name; puzzles without an
        embedding are left out.

        Raises:
          ValueError: if the data do not fit the model, or the model has none of the test puzzles.
          OSError: if the data cannot be read.
        """
        dataset = load_as_trained(self.config.data, self.trained_on)
        _check_fits(Task.of(dataset), self.experiment.task)
        return dataset

    def read_examples(
        self, data_file: str | os.PathLike | None = None, skip_bad: bool = False
    ) -> dict[str, np.ndarray]:
        """Reads labeled puzzles of the model's family, of a size that fits the model.

        Args:
          data_file: as for `evaluate`.
          skip_bad: as for `evaluate`.

        Raises:
          ValueError: as for `evaluate`.
          OSError: if the file does not exist.
        """
        if data_file is None:
            return self.dataset().test
        return self._read_fitting(data_file, skip_bad)[0]

    def _read_fitting(
        self, data_file: str | os.PathLike, skip_bad: bool
    ) -> tuple[dict[str, np.ndarray], "TrainedModel"]:
        """Returns the puzzles of a file, and the model for puzzles of their size."""
        examples = data.read_examples(data_file, self.config.data.name, skip_bad)
        try:
            return examples, self.for_cells(examples["inputs"].shape[1])
        except ValueError as error:
            raise ValueError(f"{data_file}: {error}") from None

    def rollout_accuracy(
        self,
        examples: Mapping[str, np.ndarray],
        rollouts: Sequence[int],
        steps: Sequence[int],
        options: RolloutOptions,
        on_progress: Callable[[int], None] = lambda num_done: None,
    ) -> list[dict[str, float]]:
        """Measures accuracy and cost for several numbers of rollouts and supervision steps.

        Args:
          examples: labeled puzzles, as from `read_examples`.
          rollouts: numbers of rollouts per puzzle.
          steps: numbers of supervision steps per rollout.
          options: noise, batch size and seed; `rollouts` replaces its number of rollouts.
          on_progress: called with the number of newly finished puzzles.

        Returns:
          The rows of `cgar_jax.evaluation.rollout_accuracy.accuracy_and_cost`.
        """
        options = dataclasses.replace(options, num_rollouts=max(rollouts))
        reasoner = self.experiment.deep_reasoner("rollouts").with_supervision_steps(max(steps))
        found = record(reasoner, self.params, examples, self.accepts, options, on_progress)
        return accuracy_and_cost(reasoner, found, rollouts, steps)

    def trajectory(
        self, puzzle: str | np.ndarray, puzzle_identifier: int = 0
    ) -> Trajectory | SearchTrajectory:
        """Records how the model arrives at its answer to one puzzle.

        Args:
          puzzle: text, or tokens `[num_cells]`.
          puzzle_identifier: number of the puzzle, for ARC.

        Returns:
          The answer and its confidence after each cycle; for a model that eliminates candidates,
          the candidates after each pass of a search.
        """
        question = self.read(puzzle).tokens[0] if isinstance(puzzle, str) else puzzle
        if isinstance(self.reasoner, CandidateReasoner):
            return self.solver().trajectory(question)
        return self.reasoner.trajectory(self.params, question, puzzle_identifier)

    def animate(
        self,
        puzzle: str | np.ndarray,
        path: str | os.PathLike,
        solution: np.ndarray | None = None,
        puzzle_identifier: int = 0,
    ) -> Trajectory | SearchTrajectory:
        """Writes an animated GIF of the model at work on one puzzle.

        It ends where nothing changes any more. For a model that eliminates candidates, it shows the
        candidates after each pass of a search.

        Args:
          puzzle: text, or tokens `[num_cells]`.
          path: path of the GIF.
          solution: tokens `[num_cells]` that mark errors; not used if the model's answer obeys the
            rules.
          puzzle_identifier: number of the puzzle, for ARC.

        Returns:
          The trajectory over all supervision steps, or that of the search.
        """
        found = self.trajectory(puzzle, puzzle_identifier)
        path = pathlib.Path(path).expanduser()
        if isinstance(found, SearchTrajectory):
            with explain_missing():
                from cgar_jax.reporting.search_animation import animate_search
            animate_search(found, path)
            return found
        answer = found.answers[-1]
        if self.accepts and self.accepts(found.question[None], answer[None])[0]:
            solution = answer
        # Drawing needs the extra [report]; everything else here does without it.
        with explain_missing():
            from cgar_jax.reporting.animation import animate
        animate(found.until_settled(), self.config.data.name, path, solution)
        return found

    def export(
        self, output: str | os.PathLike, stablehlo: bool = False, overwrite: bool = False
    ) -> None:
        """Writes a folder that can be shared: parameters, config, result and model card.

        Args:
          output: folder to write; an earlier export of the same run in it is replaced.
          stablehlo: whether to add `solve.stablehlo`, a program that needs only JAX.
          overwrite: whether another model in the folder is replaced too.

        Raises:
          ValueError: if `stablehlo` is set for a model that answers only puzzles it was trained on,
            or that eliminates candidates.
          OSError: if the folder holds another model or other files, or cannot be written to.
        """
        model_files.check_output(output)
        if not overwrite:
            settings = runs.settings(self.config, self.experiment.task)
            model_files.check_replaced(output, settings, self._metadata)
        program = None
        if stablehlo:
            data.rules_of(self.config.data.name)  # raises for models of puzzles with embeddings
            reasoner = self.experiment.deep_reasoner("a program for JAX alone")
            program = solving_program(reasoner, self.params).serialize()
        result = runs.read_result(self.folder) if self.folder else None
        if result and result.get("steps") != self.step:
            result = None  # it belongs to a later checkpoint, which is damaged
        save(output, self, model_card(self, result, stablehlo), result, program)


def save(
    output: str | os.PathLike,
    model: TrainedModel,
    card: str,
    result: Mapping[str, Any] | None = None,
    program: bytes | None = None,
) -> None:
    """Writes the files of a shared model; see `cgar_jax.model_files`.

    Args:
      output: folder to write; an earlier model in it is replaced.
      model: the model.
      card: text of the model card.
      result: content of `result.json`, or None if nothing was measured.
      program: a serialized program that solves puzzles, if there is one.

    Raises:
      OSError: if the folder holds other files, or cannot be written to.
    """
    variables, table = jax.device_get(model.params)
    settings = runs.settings(model.config, model.experiment.task)
    model_files.write(
        output,
        models.export_published(
            variables | {"puzzle_embedding": {"table": table}}, model.experiment.model
        ),
        model._metadata,
        {
            model_files.CARD: card.encode(),
            runs.RESULT: runs.as_json(result).encode() if result else None,
            model_files.PROGRAM: program,
            model_files.TRAINED_ON: model.trained_on and model.trained_on.to_json().encode(),
            runs.SETTINGS: runs.as_json(settings).encode(),
        },
    )


def _check_fits(posed: Task, task: Task) -> None:
    """Checks that the data still pose the task that the model was trained for."""
    rows = posed.num_puzzle_identifiers, task.num_puzzle_identifiers
    if posed != dataclasses.replace(task, num_puzzle_identifiers=rows[0]) or rows[0] > rows[1]:
        raise ValueError(
            f"the data of the config now pose {posed}, but the model was trained for {task}"
        )


def build(config: ml_collections.ConfigDict, task: Task) -> Experiment:
    """Builds the experiment of a trained model on the devices that are here.

    Args:
      config: config of the run.
      task: task of its data.

    Raises:
      ValueError: if the config was written by another version.
    """
    # As many of the devices here as divide the batch; the run may have had others.
    here = config.copy_and_resolve_references()
    here.mesh = {"data": math.gcd(config.batch_size, jax.device_count())}
    try:
        return dataclasses.replace(experiment.build(here, task), config=config)
    except (KeyError, AttributeError) as error:
        message = str(error).splitlines()[0]
        raise ValueError(
            f"the config was written by another version of cgar_jax: {message}"
        ) from error
