"""Builds the objects that a config names: model, curriculum, training step and evaluator."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cgar_jax import contrib, curricula, data, models, optimizers, sampling, weighting
from cgar_jax._core.ranges import check_integer
from cgar_jax.config_ranges import check_numbers
from cgar_jax.config_values import plain_config
from cgar_jax.data import schema
from cgar_jax.evaluation import CandidateEvaluator, Evaluator, SearchOptions, voting
from cgar_jax.mesh import make_mesh, parts_of_share, place, replicated
from cgar_jax.models import ModelParams
from cgar_jax.recursion import CandidateReasoner, Reasoner, SearchRule
from cgar_jax.training import supervisions
from cgar_jax.training.candidate_elimination import CandidateElimination
from cgar_jax.training.feed import Stream, TrainingSet, as_partial, resident
from cgar_jax.training.shardings import abstract_state
from cgar_jax.training.state import TrainState
from cgar_jax.training.step import TrainingData, TrainStep
from cgar_jax.training.supervision import Supervision

Examples = dict[str, np.ndarray]
Accepts = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Task:
    """The properties of the data that determine the shape of a model.

    Attributes:
      vocab_size: number of tokens.
      sequence_length: number of cells of a puzzle.
      num_puzzle_identifiers: number of rows of the puzzle-embedding table.
    """

    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int

    @classmethod
    def of(cls, dataset: data.Dataset) -> "Task":
        """Returns the task that a dataset poses."""
        return cls(dataset.vocab_size, dataset.sequence_length, dataset.num_puzzle_identifiers)

    @classmethod
    def expected(cls, config: Mapping[str, Any]) -> "Task":
        """Returns the task of a data config, predicted without loading the data."""
        expected = data.expected(config)
        return cls(expected.vocab_size, expected.sequence_length, expected.num_puzzle_identifiers)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The objects of one config; nothing is compiled and no parameter exists yet.

    Attributes:
      config: the config.
      task: task of the data.
      curriculum: the depth curriculum.
      train_step: the training step.
      reasoner: the model at the depth of the last stage. For a candidate model, this is a
        `CandidateReasoner`.
      evaluator: scores examples with the reasoner.
    """

    config: ml_collections.ConfigDict
    task: Task
    curriculum: curricula.DepthCurriculum
    train_step: TrainStep
    reasoner: Reasoner | CandidateReasoner
    evaluator: Evaluator | CandidateEvaluator

    @property
    def model(self) -> models.Model:
        """The model."""
        return self.reasoner.model

    @property
    def mesh(self) -> Mesh:
        """The mesh of devices."""
        return self.reasoner.mesh

    def deep_reasoner(self, purpose: str) -> Reasoner:
        """Returns the reasoner of a model that is trained by deep supervision.

        Args:
          purpose: what the reasoner is needed for, for the error.

        Raises:
          ValueError: if the model eliminates candidates.
        """
        if isinstance(self.reasoner, CandidateReasoner):
            raise ValueError(
                f"{purpose} needs a model that was trained by deep supervision; this one "
                "eliminates candidates, which solve and evaluate can use"
            )
        return self.reasoner

    @property
    def stages(self) -> list[curricula.Stage]:
        """The stages of the curriculum, in optimizer steps."""
        return self.curriculum.schedule(self.config.training.steps)

    def abstract_state(self) -> TrainState:
        """Returns the shapes, dtypes and shardings of the train state."""
        shapes = jax.eval_shape(self._init, jax.random.key(0))
        return abstract_state(self.mesh, self.model.sharding_rules, shapes)

    def initial_state(self) -> TrainState:
        """Returns the train state before the first step, on the mesh."""
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.abstract_state())
        return jax.jit(self._init, out_shardings=shardings)(jax.random.key(self.config.seed))

    def on_device(
        self, examples: Examples, augment: Callable = data.identity_augmentation
    ) -> TrainingSet:
        """Puts a training set on every device, in the order that the sampling requires.

        Args:
          examples: examples of a `Dataset`.
          augment: augmentation of the `Dataset`.
        """
        columns = schema.training_columns(examples, self.config.data.num_domains)
        order = np.asarray(self.train_step.sampling.order(columns["difficulty"]))
        columns = {name: column[order] for name, column in columns.items()}
        return place(TrainingSet(columns, as_partial(augment)), replicated(self.mesh))

    def abstract_training_set(
        self, num_examples: int, augment: Callable = data.identity_augmentation
    ) -> TrainingSet:
        """Returns the shapes, dtypes and shardings of a training set on the devices.

        Args:
          num_examples: number of examples (may be hypothetical).
          augment: augmentation of the `Dataset`.
        """
        whole, length = replicated(self.mesh), self.task.sequence_length
        shapes = {
            column.name: jax.ShapeDtypeStruct(
                (num_examples, *column.shape(length)), column.stored_dtype, sharding=whole
            )
            for column in schema.TRAINING_COLUMNS
        }
        return TrainingSet(shapes, as_partial(augment))

    def stream(self, examples: Examples, augment: Callable = data.identity_augmentation) -> Stream:
        """Makes the feed of a training set that stays on the host.

        Args:
          examples: examples of a `Dataset`.
          augment: augmentation of the `Dataset`.

        Raises:
          ValueError: if the sampling works only with a training set on the devices.
        """
        if self.config.sampling.name != "epoch_sampling":
            raise ValueError(
                f"the training set has {_megabytes(examples):,.0f} MB, more than "
                "data.max_device_megabytes, so it is streamed from the host in epochs; set "
                f"sampling.name to 'epoch_sampling' instead of {self.config.sampling.name!r}, or "
                "raise data.max_device_megabytes"
            )
        return Stream(
            schema.training_columns(examples, self.config.data.num_domains),
            augment,
            self.mesh,
            self.config.batch_size,
            self.config.training.steps_per_dispatch,
            self.config.seed,
        )

    def feed(self, examples: Examples, augment: Callable) -> tuple[TrainingData, Callable]:
        """Puts a training set on the devices if it is small enough, or else streams it.

        Args:
          examples: examples of a `Dataset`.
          augment: augmentation of the `Dataset`.

        Returns:
          `(template, feed)`: shapes that programs are compiled for, and the feed for `Loop.run`.
        """
        if _megabytes(examples) <= self.config.data.max_device_megabytes:
            training_set = self.on_device(examples, augment)
            return training_set, resident(training_set)
        stream = self.stream(examples, augment)
        return stream.template, stream

    def drawn_for_validation(self, examples: Examples) -> Examples:
        """Draws the `evaluation.num_examples` examples that are scored during training.

        They depend only on the config's seed, so they stay the same throughout a run.

        Args:
          examples: the validation split of a `Dataset`.
        """
        num = len(examples["inputs"])
        size = min(self.config.evaluation.num_examples, num)
        drawn = np.random.default_rng(self.config.seed).choice(num, size, replace=False)
        return {name: column[np.sort(drawn)] for name, column in examples.items()}

    def validate(self, params: ModelParams, examples: Examples) -> dict[str, Any]:
        """Scores parameters during training: at halting if the config has `until_halted`."""
        if self.config.evaluation.until_halted:
            return self.evaluator.until_halted(params, examples)
        return self.evaluator(params, examples)

    def score(
        self,
        params: ModelParams,
        dataset: data.Dataset,
        on_progress: Callable[[int], None] = lambda num_done: None,
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Scores the test split, also by voting if its puzzles have variants.

        Args:
          params: parameters of the model.
          dataset: the data.
          on_progress: called with the number of newly scored test examples.

        Returns:
          `(scores, submission)`; the submission is None without voting.
        """
        scores = self.evaluator(params, dataset.test, dataset.accepts, on_progress)
        if dataset.variants is None:
            return scores, None
        votes, submission = voting.score(
            functools.partial(self.evaluator.predict, params),
            dataset.variants,
            dataset.test,
            self.config.evaluation.num_variants,
        )
        trained = self.evaluator(params, dataset.train)["exact_accuracy"]
        votes |= {"train_exact_accuracy": trained}
        if dataset.left_out:
            votes["left_out_puzzles"] = list(dataset.left_out)
        return scores | votes, submission

    def planned_flops(self) -> float:
        """Returns the model FLOPs of the whole run, as far as they are known in advance."""
        return sum(
            (stage.end_step - stage.first_step) * self.train_step.step_flops(stage.depth)
            for stage in self.stages
        )

    def _init(self, key: jax.Array) -> TrainState:
        return self.train_step.init(key, self.task.sequence_length)


def build(
    config: ml_collections.ConfigDict, task: Task, num_devices: int | None = None
) -> Experiment:
    """Builds the objects that a config names, and thereby checks the config.

    Args:
      config: a config as from `cgar_jax.config.default_config`.
      task: the task that the data pose.
      num_devices: number of devices to lower programs for without running them; None uses the
        devices of this machine.

    Raises:
      ValueError: if a setting is unknown or out of range, or does not fit the devices.
    """
    config = plain_config(config)
    check_numbers(config)
    mesh = make_mesh(config.mesh, config.batch_size, config.training.microbatches, num_devices)
    reads_candidates = config.model.name in models.CANDIDATE_MODELS
    needs_relations = reads_candidates or config.model.get("relation_bias", False)
    constraints = _constraints(config.data.name, task) if needs_relations else {}
    model = models.build(config.model, **dataclasses.asdict(task), **constraints)
    curriculum = curricula.build(**config.curriculum)
    recursion = config.get("recursion", {})
    supervision = supervisions.build(config.supervision, config.loss, recursion, model, curriculum)
    reasoner = _reasoner(config, supervision, curriculum.full_depth, mesh)
    train_step = _train_step(config, supervision, curriculum, mesh)
    if isinstance(reasoner, CandidateReasoner):
        options = SearchOptions(
            budget=config.search.budget, batch_size=config.evaluation.batch_size
        )
        evaluator = CandidateEvaluator(reasoner, options, config.search.num_examples)
    else:
        evaluator = Evaluator(reasoner, config.evaluation.batch_size)
    return Experiment(config, task, curriculum, train_step, reasoner, evaluator)


def _constraints(family: str, task: Task) -> dict[str, Any]:
    """Returns what the rules of a family tell models that need it; empty without rules."""
    rules = data.family_of(family).rules
    if rules is None:
        return {}
    return {
        "relations": rules.relations(task.sequence_length),
        "num_symbols": task.vocab_size - rules.blank - 1,
    }


def _reasoner(
    config: ml_collections.ConfigDict, supervision: Supervision, depth: curricula.Depth, mesh: Mesh
) -> Reasoner | CandidateReasoner:
    if isinstance(supervision, CandidateElimination):
        search = config.search
        for name in ("loops", "num_examples"):
            check_integer("config", f"search.{name}", search[name], "[0, inf)")
        names = [field.name for field in dataclasses.fields(SearchRule)]
        rule = SearchRule(**{name: search[name] for name in names})
        depth = curricula.Depth(0, search.loops or depth.T)
        threshold = supervision.rule.threshold
        return CandidateReasoner(supervision.model, depth, mesh, rule, threshold)
    return Reasoner(
        supervision.model,
        depth,
        supervision.halting_rule,
        mesh,
        supervision.answer_loss,
        supervision.options,
    )


def _train_step(
    config: ml_collections.ConfigDict,
    supervision: Supervision,
    curriculum: curricula.DepthCurriculum,
    mesh: Mesh,
) -> TrainStep:
    steps, optimizer = config.training.steps, config.optimizer
    return TrainStep(
        supervision=supervision,
        optimizer=optimizers.build(optimizer, steps),
        weighting=weighting.build(config.weighting, weighting.WEIGHTINGS | contrib.WEIGHTINGS),
        sampling=sampling.build(**config.sampling),
        curriculum=curriculum,
        total_steps=steps,
        batch_size=config.batch_size,
        ema_decay=optimizer.ema_decay,
        puzzle_learning_rate=optimizers.schedule_of(
            optimizer, steps, optimizer.puzzle_learning_rate
        ),
        puzzle_weight_decay=optimizer.puzzle_weight_decay,
        mesh=mesh,
        microbatches=parts_of_share(config.batch_size, config.training.microbatches, mesh.size),
    )


def _megabytes(examples: Mapping[str, np.ndarray]) -> float:
    return sum(column.nbytes for column in examples.values()) / 2**20
