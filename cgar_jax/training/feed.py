"""How training examples reach the step: whole on the devices, or streamed to them in blocks.

A set that fits lies on the devices from the beginning, and each step draws from it there. A larger
one stays with the host: while the devices work on the steps of one dispatch, Grain lays out the
examples of the next ones and sends them. Which examples a step is offered depends on the seed and
the step alone, so the step in the checkpoint is the position of the stream.
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
Span = tuple[int, int]  # a dispatch: its first step, and the step after its last

BLOCKS_AHEAD = 2


class TrainingSet(NamedTuple):
    """The whole training set, on every device."""

    examples: Examples  # arrays [num_examples, ...]
    augment: jax.tree_util.Partial  # (key, examples) -> examples on a batch


class TrainingBlock(NamedTuple):
    """What the steps of one dispatch are offered: a whole batch each, of which the slots that want
    a fresh example take theirs.
    """

    examples: Examples  # arrays [steps, batch, ...], sharded by batch
    first_step: jax.Array  # int32 scalar, the step that the first batch is for
    augment: jax.tree_util.Partial


def as_partial(augment: Callable) -> jax.tree_util.Partial:
    """An augmentation as an argument of compiled programs."""
    is_partial = isinstance(augment, jax.tree_util.Partial)
    return augment if is_partial else jax.tree_util.Partial(augment)


def resident(training_set: TrainingSet) -> Callable[[Iterable[Span]], Iterator[TrainingSet]]:
    """The feed of a set that lies on the devices: the same for every dispatch."""
    return lambda spans: (training_set for _ in spans)


class Stream:
    """The feed of a set that stays with the host.

    Each epoch offers every puzzle once, in a new order, all examples of a puzzle one after another,
    as `sampling.epoch_sampling` does; it ends in the middle of a batch if need be, and the next
    one follows. Each process lays out the part of the batches that its own devices take.
    """

    def __init__(
        self,
        examples: Examples,
        augment: Callable,
        mesh: Mesh,
        batch_size: int,
        steps_per_dispatch: int,
        seed: int,
    ):
        """`examples` are host arrays `[num, ...]`; `groups`, `int [num]`, is the puzzle of each."""
        self._columns = {name: column for name, column in examples.items() if name != "groups"}
        self._groups = np.asarray(examples["groups"])
        self._mesh, self._seed = mesh, seed
        self._shape = (steps_per_dispatch, batch_size)
        self._augment = place(as_partial(augment), replicated(mesh))
        # A block may reach into an epoch's successor.
        self._order = functools.lru_cache(maxsize=2)(self._order_of)

    @property
    def template(self) -> TrainingBlock:
        """Shapes, dtypes and shardings of the blocks."""
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
        """Yields a block for each dispatch, the next ones being prepared meanwhile."""
        ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=BLOCKS_AHEAD)
        blocks = grain.MapDataset.source(list(spans)).map(self._block)
        return iter(blocks.to_iter_dataset(ahead))

    def rows(self, first_step: int, num_steps: int) -> np.ndarray:
        """The examples that steps are offered, int `[num_steps, batch]`."""
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
        rows = np.zeros(self._shape, np.int64)  # steps after `stop` are not taken
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
