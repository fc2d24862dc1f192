"""From a config to the pieces that train or evaluate it: here names become objects."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cgar_jax import curricula, data, losses, models, optimizers, weighting
from cgar_jax._registry import check_name
from cgar_jax.evaluation import Evaluator
from cgar_jax.training.mesh import abstract_state, make_mesh, replicated
from cgar_jax.training.state import TrainState, variables
from cgar_jax.training.step import TrainStep

ANSWER_LOSSES = {
    "stablemax_cross_entropy": losses.stablemax_cross_entropy,
    "softmax_cross_entropy": losses.softmax_cross_entropy,
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
        shapes = jax.eval_shape(self.train_step.init, jax.random.key(0), self._abstract_dataset())
        return abstract_state(self.mesh, shapes)

    def initial_state(self, dataset: dict[str, jax.Array]) -> TrainState:
        """A train state before the first step, on the mesh."""
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.abstract_state())
        init = jax.jit(self.train_step.init, out_shardings=shardings)
        return init(jax.random.key(self.config.seed), dataset)

    def on_device(self, examples: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """A training set, whole on every device, in the order that the sampling wants.

        Integers become int32; `domain_ids` are added: groups of equal size, the easiest first.
        """
        difficulty = np.asarray(examples["difficulty"])
        ranks = np.argsort(np.argsort(difficulty, kind="stable"), kind="stable")
        domain_ids = ranks * self.config.data.num_domains // max(len(ranks), 1)
        order = np.asarray(self.train_step.sampling.order(difficulty))
        columns = {
            name: column[order].astype(np.int32 if column.dtype.kind in "iu" else column.dtype)
            for name, column in (examples | {"domain_ids": domain_ids}).items()
        }
        return jax.device_put(columns, replicated(self.mesh))

    def evaluate(
        self, state: TrainState, examples: dict[str, np.ndarray], accepts: Any = None
    ) -> dict[str, Any]:
        """Scores a state by its averaged parameters, see `Evaluator`."""
        averaged = variables(state.ema_params, state)
        return self.evaluator(averaged, state.puzzle_table, examples, accepts)

    def train_flops(self) -> int:
        """Model FLOPs of the whole run: matrix products, a backward pass as two forward ones."""
        network, heads = self.model.network_flops(), 3 * self.model.heads_flops()

        def per_example(depth):
            return depth.gradient_aware_cost * network + depth.num_exits * heads

        steps = [(stage.end_step - stage.first_step, stage.depth) for stage in self.stages]
        return round(self.config.batch_size * sum(n * per_example(depth) for n, depth in steps))

    def _abstract_dataset(self) -> dict[str, jax.ShapeDtypeStruct]:
        cells = jax.ShapeDtypeStruct((1, self.task.sequence_length), jnp.int32)
        return {
            "inputs": cells,
            "labels": cells,
            "puzzle_identifiers": jax.ShapeDtypeStruct((1,), jnp.int32),
            "difficulty": jax.ShapeDtypeStruct((1,), jnp.float32),
            "domain_ids": jax.ShapeDtypeStruct((1,), jnp.int32),
        }


def build(
    config: ml_collections.ConfigDict, task: Task, augment: Any = data.keep_as_is
) -> Experiment:
    """Builds the pieces that a config names, and so checks the config.

    Args:
      config: as `cgar_jax.config.default_config`.
      task: of the dataset.
      augment: `(key, examples) -> examples` on a batch; not needed to evaluate.

    Raises:
      ValueError: a setting that is unknown or out of range, or does not fit the devices.
    """
    check_name("answer loss", config.loss.answer, ANSWER_LOSSES)
    _check_numbers(config)
    mesh = make_mesh(config.mesh, config.batch_size)
    model = models.build(config.model, **dataclasses.asdict(task))
    curriculum = curricula.build(**config.curriculum)
    steps = config.training.steps
    optimizer = config.optimizer
    train_step = TrainStep(
        model=model,
        optimizer=optimizers.build(optimizer, steps),
        weighting=weighting.build(config.weighting),
        sampling=curricula.build_sampling(**config.sampling),
        total_steps=steps,
        augment=augment,
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
    )
    evaluator = Evaluator(
        model,
        curriculum.full_depth,
        config.supervision.max_supervision_steps,
        config.evaluation.batch_size,
        mesh,
    )
    return Experiment(config, task, mesh, model, curriculum, train_step, evaluator)


POSITIVE = (
    "data.num_domains",
    "supervision.max_supervision_steps",
    "training.steps",
    "training.steps_per_dispatch",
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
