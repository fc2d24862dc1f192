"""Feeds of training examples: a set on the devices, or a stream of blocks from the host.

A set that fits is copied to the devices once, and each step draws from it there. A larger set stays
on the host: while the devices work, Grain prepares the examples of the next steps and sends them.
The examples that are prepared for a step depend only on the seed and the step, so the step number
in a checkpoint is also the position in the stream.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cgar_jax.mesh import BATCH, place, replicated

Examples = dict[str, Any]
Span = tuple[int, int]  # consecutive steps: the first one, and the one after the last

BLOCKS_AHEAD = 2


class TrainingSet(NamedTuple):
    """A whole training set on every device."""

    examples: Examples  # arrays [num_examples, ...]
    augment: jax.tree_util.Partial  # augmentation of a batch, (key, examples) -> examples


class TrainingBlock(NamedTuple):
    """The batches of consecutive steps, from which slots take their fresh examples."""

    examples: Examples  # arrays [steps, batch, ...], sharded over the batch
    first_step: jax.Array  # step of the first batch, int32 []
    augment: jax.tree_util.Partial  # augmentation of a batch, (key, examples) -> examples


def as_partial(augment: Callable) -> jax.tree_util.Partial:
    """Returns an augmentation as a pytree, which compiled programs accept as an argument."""
    is_partial = isinstance(augment, jax.tree_util.Partial)
    return augment if is_partial else jax.tree_util.Partial(augment)


def resident(training_set: TrainingSet) -> Callable[[Iterable[Span]], Iterator[TrainingSet]]:
    """Returns the feed of a training set on the devices, which is the same for every span."""
    return lambda spans: (training_set for _ in spans)


class Stream:
    """The feed of a training set that stays on the host.

    As with `sampling.epoch_sampling`, each epoch visits every puzzle once in a new random order,
    with all examples of a puzzle one after another. An epoch may end in the middle of a batch; the
    next one fills the rest. Each process prepares the parts of the batches for its own devices.
    """

    def __init__(
        self,
        examples: Examples,
        augment: Callable,
        mesh: Mesh,
        batch_size: int,
        steps_per_block: int,
        seed: int,
    ):
        """Prepares a stream.

        Args:
          examples: host arrays `[num, ...]`; `groups`, int `[num]`, is the puzzle of each example.
          augment: augmentation of a batch, see `TrainingSet`.
          mesh: devices that share the batch.
          batch_size: number of examples per step.
          steps_per_block: largest number of steps in a span.
          seed: random seed of the order.
        """
        self._columns = {name: column for name, column in examples.items() if name != "groups"}
        self._groups = np.asarray(examples["groups"])
        self._mesh, self._seed = mesh, seed
        self._shape = (steps_per_block, batch_size)
        self._augment = place(as_partial(augment), replicated(mesh))
        # A block may contain the end of one epoch and the beginning of the next.
        self._order = functools.lru_cache(maxsize=2)(self._order_of)

    @property
    def template(self) -> TrainingBlock:
        """The shapes, dtypes and shardings of all blocks."""
        sharding = self._sharding
        return TrainingBlock(
            {
                name: jax.ShapeDtypeStruct(
                    (*self._shape, *column.shape[1:]), column.dtype, sharding=sharding
                )
                for name, column in self._columns.items()
            },
            jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated(self._mesh)),
            self._augment,
        )

    def __call__(self, spans: Iterable[Span]) -> Iterator[TrainingBlock]:
        """Yields a block for each span, and prepares the next blocks in the background."""
        ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=BLOCKS_AHEAD)
        blocks = grain.MapDataset.source(list(spans)).map(self._block)
        return iter(blocks.to_iter_dataset(ahead))

    def rows(self, first_step: int, num_steps: int) -> np.ndarray:
        """Returns the indices of the examples for consecutive steps, int `[num_steps, batch]`."""
        num, batch = len(self._groups), self._shape[1]
        first, end = first_step * batch, (first_step + num_steps) * batch
        epochs = [self._order(epoch) for epoch in range(first // num, -(-end // num))]
        start = first % num
        return np.concatenate(epochs)[start : start + end - first].reshape(num_steps, batch)

    def _order_of(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, epoch])
        turns = rng.permutation(self._groups.max() + 1)[self._groups]
        return np.lexsort((rng.random(len(turns)), turns))

    def _block(self, span: Span) -> TrainingBlock:
        first_step, stop = span
        rows = np.zeros(self._shape, np.int64)  # the rows of later steps are not used
        rows[: stop - first_step] = self.rows(first_step, stop - first_step)

        def lay_out(column):
            shape = (*self._shape, *column.shape[1:])
            part = lambda index: column[rows[index[:2]]]  # noqa: E731
            return jax.make_array_from_callback(shape, self._sharding, part)

        examples = {name: lay_out(column) for name, column in self._columns.items()}
        first_step = place(np.int32(first_step), replicated(self._mesh))
        return TrainingBlock(examples, first_step, self._augment)

    @property
    def _sharding(self) -> NamedSharding:
        return NamedSharding(self._mesh, PartitionSpec(None, *BATCH))
