"""From a config to the pieces that train or evaluate it: here names become objects."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cgar_jax import curricula, data, losses, models, optimizers, sampling, weighting
from cgar_jax._core.registry import check_name
from cgar_jax.data import schema
from cgar_jax.evaluation import Evaluator, voting
from cgar_jax.mesh import make_mesh, place, replicated
from cgar_jax.training.feed import Stream, TrainingSet, as_partial, resident
from cgar_jax.training.shardings import abstract_state
from cgar_jax.training.state import TrainState, Weights
from cgar_jax.training.step import TrainingData, TrainStep

Examples = dict[str, np.ndarray]

ANSWER_LOSSES = {
    "stablemax_cross_entropy_loss": losses.stablemax_cross_entropy_loss,
    "softmax_cross_entropy_loss": losses.softmax_cross_entropy_loss,
}


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model must know of its data."""

    vocab_size: int
    sequence_length: int
    num_puzzle_identifiers: int

    @classmethod
    def of(cls, dataset: data.Dataset) -> "Task":
        """The task that a dataset poses."""
        return cls(dataset.vocab_size, dataset.sequence_length, dataset.num_puzzle_identifiers)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The pieces of one config. Nothing is compiled and no parameter exists yet."""

    config: ml_collections.ConfigDict
    task: Task
    mesh: Mesh
    model: Any
    curriculum: curricula.DepthCurriculum
    train_step: TrainStep
    evaluator: Evaluator

    @property
    def stages(self) -> list[curricula.Stage]:
        """The curriculum in optimizer steps."""
        return self.curriculum.schedule(self.config.training.steps)

    def abstract_state(self) -> TrainState:
        """Shapes, dtypes and shardings of the train state."""
        return abstract_state(self.mesh, jax.eval_shape(self._init, jax.random.key(0)))

    def initial_state(self) -> TrainState:
        """A train state before the first step, on the mesh."""
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.abstract_state())
        return jax.jit(self._init, out_shardings=shardings)(jax.random.key(self.config.seed))

    def on_device(
        self, examples: Examples, augment: Callable = data.identity_augmentation
    ) -> TrainingSet:
        """A training set, whole on every device, in the order that the sampling wants.

        Args:
          examples: of a `Dataset`.
          augment: of a `Dataset`.
        """
        columns = schema.training_columns(examples, self.config.data.num_domains)
        order = np.asarray(self.train_step.sampling.order(columns["difficulty"]))
        columns = {name: column[order] for name, column in columns.items()}
        return place(TrainingSet(columns, as_partial(augment)), replicated(self.mesh))

    def abstract_training_set(
        self, num_examples: int, augment: Callable = data.identity_augmentation
    ) -> TrainingSet:
        """Shapes, dtypes and shardings of a training set on the devices, of so many examples.

        Args:
          num_examples: there are, or would be.
          augment: of a `Dataset`.
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
        """A training set that stays with the host.

        Args:
          examples: of a `Dataset`.
          augment: of a `Dataset`.

        Raises:
          ValueError: the sampling needs the set on the devices.
        """
        if self.config.sampling.name != "epoch_sampling":
            raise ValueError(
                f"the training set has {_megabytes(examples):,.0f} MB, more than "
                "data.max_device_megabytes, and so it is streamed, which goes by epochs; set "
                f"sampling.name to 'epoch_sampling' instead of {self.config.sampling.name!r}, or "
                "allow more"
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
        """How a training set reaches the steps: on the devices if it is small, else streamed.

        Returns:
          What programs are compiled for, and the feed for `Loop.run`.
        """
        if _megabytes(examples) <= self.config.data.max_device_megabytes:
            training_set = self.on_device(examples, augment)
            return training_set, resident(training_set)
        stream = self.stream(examples, augment)
        return stream.template, stream

    def drawn_for_validation(self, examples: Examples) -> Examples:
        """The examples that scores during training are of: `evaluation.num_examples` at random.

        They depend on the config's seed alone, and so are the same throughout a run.

        Args:
          examples: of a `Dataset`, its validation split.
        """
        num = len(examples["inputs"])
        size = min(self.config.evaluation.num_examples, num)
        drawn = np.random.default_rng(self.config.seed).choice(num, size, replace=False)
        return {name: column[np.sort(drawn)] for name, column in examples.items()}

    def evaluate(
        self, weights: Weights, examples: dict[str, np.ndarray], accepts: Any = None
    ) -> dict[str, Any]:
        """Scores weights, see `Evaluator`."""
        return self.evaluator(weights, examples, accepts)

    def validate(self, weights: Weights, examples: Examples) -> dict[str, Any]:
        """Scores weights during training, as `evaluation.until_halted` has it, see `Evaluator`."""
        if self.config.evaluation.until_halted:
            return self.evaluator.until_halted(weights, examples)
        return self.evaluator(weights, examples)

    def score(
        self, weights: Weights, dataset: data.Dataset
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The figures of the test split, and a submission where puzzles are put to the vote."""
        scores = self.evaluate(weights, dataset.test, dataset.accepts)
        if dataset.variants is None:
            return scores, None
        votes, submission = voting.score(
            functools.partial(self.evaluator.predict, weights),
            dataset.variants,
            dataset.test,
            self.config.evaluation.num_variants,
        )
        trained = self.evaluate(weights, dataset.train)["exact_accuracy"]
        return scores | votes | {"train_exact_accuracy": trained}, submission

    def planned_flops(self) -> float:
        """Model FLOPs of the whole run, as far as they are known beforehand."""
        return sum(
            (stage.end_step - stage.first_step) * self.train_step.step_flops(stage.depth)
            for stage in self.stages
        )

    def _init(self, key: jax.Array) -> TrainState:
        return self.train_step.init(key, self.task.sequence_length)


def build(
    config: ml_collections.ConfigDict, task: Task, num_devices: int | None = None
) -> Experiment:
    """Builds the pieces that a config names, and so checks the config.

    Args:
      config: as `cgar_jax.config.default_config`.
      task: of the dataset.
      num_devices: if the pieces are not to run but to be lowered, for so many devices.

    Raises:
      ValueError: a setting that is unknown or out of range, or does not fit the devices.
    """
    check_name("answer loss", config.loss.answer, ANSWER_LOSSES)
    _check_numbers(config)
    microbatches = config.training.microbatches
    mesh = make_mesh(config.mesh, config.batch_size, microbatches, num_devices)
    model = models.build(config.model, **dataclasses.asdict(task))
    curriculum = curricula.build(**config.curriculum)
    steps = config.training.steps
    optimizer = config.optimizer
    train_step = TrainStep(
        model=model,
        optimizer=optimizers.build(optimizer, steps),
        weighting=weighting.build(config.weighting),
        sampling=sampling.build(**config.sampling),
        curriculum=curriculum,
        total_steps=steps,
        answer_loss=ANSWER_LOSSES[config.loss.answer],
        halting_loss_weight=config.loss.halting_weight,
        batch_size=config.batch_size,
        max_supervision_steps=config.supervision.max_supervision_steps,
        exploration_probability=config.supervision.exploration_probability,
        ema_decay=optimizer.ema_decay,
        puzzle_learning_rate=optimizers.learning_rate_schedule(
            optimizer.puzzle_learning_rate,
            optimizer.warmup_steps,
            steps,
            optimizer.schedule,
            optimizer.final_fraction,
        ),
        puzzle_weight_decay=optimizer.puzzle_weight_decay,
        mesh=mesh,
        microbatches=microbatches,
    )
    evaluator = Evaluator(
        model,
        curriculum.full_depth,
        config.supervision.max_supervision_steps,
        config.evaluation.batch_size,
        mesh,
    )
    return Experiment(config, task, mesh, model, curriculum, train_step, evaluator)


def _megabytes(examples: Examples) -> float:
    return sum(column.nbytes for column in examples.values()) / 2**20


POSITIVE = (
    "data.num_domains",
    "supervision.max_supervision_steps",
    "training.steps",
    "training.steps_per_dispatch",
    "training.microbatches",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "evaluation.every_steps",
    "evaluation.num_examples",
    "evaluation.batch_size",
)
FRACTIONS = ("supervision.exploration_probability", "optimizer.ema_decay")


def _check_numbers(config: ml_collections.ConfigDict) -> None:
    def value(key):
        group, name = key.split(".")
        return config[group][name]

    for key in POSITIVE:
        if value(key) < 1:
            raise ValueError(f"config.{key} is {value(key)}, but it must be 1 or more")
    for entry in (config.sampling.to_dict(), *(settings for _, settings, *_ in config.weighting)):
        found, wanted = entry.get("num_domains"), config.data.num_domains
        if found is not None and found != wanted:
            raise ValueError(
                f"num_domains is {found} in {entry}, but config.data.num_domains is {wanted}; "
                "they must be the same"
            )
    for key in FRACTIONS:
        if not 0 <= value(key) <= 1:
            raise ValueError(f"config.{key} is {value(key)}, but it must be in [0, 1]")
