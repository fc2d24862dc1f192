"""Compiled training programs, one per depth, compiled in the background before they are needed."""

import concurrent.futures
import functools
from typing import Any

import jax
import jax.numpy as jnp

from cgar_jax.curricula import StageDepth
from cgar_jax.mesh import replicated
from cgar_jax.training.shardings import abstract_state, state_shardings
from cgar_jax.training.state import TrainState
from cgar_jax.training.step import TrainingData, TrainStep


def step_program(
    train_step: TrainStep,
    depth: StageDepth,
    state: TrainState,
    data: TrainingData,
) -> tuple[Any, tuple]:
    """Returns the jitted `TrainStep.run` of one depth, and the shapes of its arguments.

    `function.lower(*arguments)` and `jax.export.export(function)(*arguments)` need neither array
    values nor the devices of the mesh.

    Args:
      train_step: training step; its mesh may be abstract.
      depth: depth of the recursion.
      state: train state, as arrays or shapes.
      data: training data, as arrays or shapes, with shardings.

    Returns:
      The function, which donates the state, and the shapes of its arguments: state, data, number
      of steps.
    """
    mesh = train_step.mesh
    rules = train_step.model.sharding_rules
    shardings, whole = state_shardings(mesh, rules, state), replicated(mesh)
    function = jax.jit(
        functools.partial(train_step.run, depth),
        in_shardings=(shardings, jax.tree.map(lambda leaf: leaf.sharding, data), whole),
        out_shardings=(shardings, whole),
        donate_argnums=0,
    )
    num_steps = jax.ShapeDtypeStruct((), jnp.int32)
    return function, (abstract_state(mesh, rules, state), jax.tree.map(_shape_of, data), num_steps)


def peak_bytes(program: jax.stages.Compiled) -> int:
    """Returns the peak memory in bytes that one device needs for a program, by XLA's analysis."""
    memory = program.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return held + memory.temp_size_in_bytes - memory.alias_size_in_bytes


class Programs:
    """Compiles `TrainStep.run` for each requested depth on a background thread.

    There is one worker thread, so that a compilation beside training does not use every core.
    """

    def __init__(self, train_step: TrainStep, state: TrainState, data: TrainingData):
        """Prepares to compile for the shapes of `state` and `data`.

        Args:
          train_step: training step.
          state: train state, as arrays or shapes with shardings.
          data: training data, as arrays or shapes with shardings.
        """
        # Keep only the shapes: holding the arrays would pin their buffers.
        rules = train_step.model.sharding_rules
        shapes = abstract_state(train_step.mesh, rules, state), jax.tree.map(_shape_of, data)
        self._program_for = lambda depth: step_program(train_step, depth, *shapes)
        self._futures: dict[StageDepth, concurrent.futures.Future] = {}
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "compile")

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_):
        # A run that ends early does not wait for a compilation, which may take minutes.
        self._executor.shutdown(wait=kind is None, cancel_futures=True)

    def prepare(self, depth: StageDepth) -> concurrent.futures.Future:
        """Starts to compile for a depth, unless it has started already; returns the future."""
        if depth not in self._futures:
            self._futures[depth] = self._executor.submit(self._compile, depth)
        return self._futures[depth]

    def _compile(self, depth: StageDepth) -> Any:
        function, arguments = self._program_for(depth)
        return function.lower(*arguments).compile()


def _shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
