"""Compiled training programs, one per depth, made ahead of time in the background."""

import concurrent.futures
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from cgar_jax.curricula import Depth, NestedDepths
from cgar_jax.mesh import replicated
from cgar_jax.training.shardings import abstract_state, state_shardings
from cgar_jax.training.state import TrainState
from cgar_jax.training.step import TrainingData, TrainStep


class Programs:
    """Compiles `TrainStep.run` for each depth asked for, so that the next stage does not wait.

    One worker thread: a compilation that runs beside training should not take every core.
    """

    def __init__(self, train_step: TrainStep, mesh: Mesh, state: TrainState, data: TrainingData):
        """`state` and `data` may be arrays or shapes with shardings."""
        shardings = state_shardings(mesh, state)
        whole = replicated(mesh)
        self._arguments = (
            abstract_state(mesh, state),
            jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data),
            jax.ShapeDtypeStruct((), jnp.int32),
        )
        self._jit = functools.partial(
            jax.jit,
            in_shardings=(shardings, jax.tree.map(lambda leaf: leaf.sharding, data), whole),
            out_shardings=(shardings, whole),
            donate_argnums=0,
        )
        self._run = train_step.run
        self._futures: dict[Depth | NestedDepths, concurrent.futures.Future] = {}
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "compile")

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_):
        # Drops what has not begun; a compilation under way ends first.
        self._executor.shutdown(wait=True, cancel_futures=True)

    def prepare(self, depth: Depth | NestedDepths) -> concurrent.futures.Future:
        """Begins to compile for a depth, unless that has begun already."""
        if depth not in self._futures:
            self._futures[depth] = self._executor.submit(self._compile, depth)
        return self._futures[depth]

    def _compile(self, depth: Depth | NestedDepths) -> Any:
        return self._jit(functools.partial(self._run, depth)).lower(*self._arguments).compile()
