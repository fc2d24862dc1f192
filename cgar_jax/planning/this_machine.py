"""Measures the speed of this machine's CPUs on a given model, in a few seconds.

The measurement runs the network of the model itself, forward and backward: the speed of a CPU
depends on small products, normalizations and caches, which a peak figure does not include. Vendors'
figures of accelerators are in `cgar_jax.planning.devices`.
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cgar_jax.experiment import Experiment
from cgar_jax.planning.devices import Device

# Enough work that one call keeps every core busy, and little enough that it takes seconds at most.
FLOPS_PER_CALL = 4e10
ADDITIONS_PER_CALL = 50


class Measurement(NamedTuple):
    """The measured speed of this machine on the network of a model.

    Attributes:
      flops_per_second: matrix-product FLOPs per second of the network, forward and backward.
      num_examples: number of examples in the measured network call.
      dtype: dtype that the network computes in.
      memory_bandwidth: bytes per second, read and written, of an elementwise operation.
      array_bytes: size of the array of that operation, which is one state of the batch.
      memory: bytes of main memory.
      num_cpus: number of CPUs that this process may use.
    """

    flops_per_second: float
    num_examples: int
    dtype: str
    memory_bandwidth: float
    array_bytes: int
    memory: int
    num_cpus: int

    @property
    def device(self) -> Device:
        """This machine as a device; the measured rate stands for both dtypes."""
        rate = self.flops_per_second
        return Device(rate, rate, self.memory, self.memory_bandwidth, 1, 0.0, 0.0)


def measure_this_machine(experiment: Experiment, seconds: float = 2.0) -> Measurement:
    """Measures the CPUs of this machine with the network of an experiment.

    Args:
      experiment: the experiment to be estimated; its mesh is ignored.
      seconds: time for each of the two measurements, without compilation.
    """
    model, batch_size = experiment.model, experiment.config.batch_size
    training_flops = 3 * model.network_flops()  # The backward pass costs two forward passes.
    num_examples = max(1, min(batch_size, int(FLOPS_PER_CALL / training_flops)))
    with jax.default_device(jax.devices("cpu")[0]):
        call = _network_call(experiment, num_examples)
        array = jnp.ones((batch_size, *model.state_shape), model.dtype)
        add = jax.jit(_add_repeatedly)
        flops_per_second = num_examples * training_flops / _fastest(call, seconds)
        bytes_per_call = 2 * array.nbytes * ADDITIONS_PER_CALL
        bandwidth = bytes_per_call / _fastest(lambda: add(array), seconds)
    return Measurement(
        flops_per_second,
        num_examples,
        str(jnp.dtype(model.dtype)),
        bandwidth,
        array.nbytes,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def _network_call(experiment: Experiment, num_examples: int) -> Callable[[], Any]:
    """Returns a function that calls the network with its gradient, on made-up numbers."""
    model = experiment.model
    cells = jnp.zeros((1, experiment.task.sequence_length), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), cells, jnp.zeros(1, jnp.int32))
    shapes.pop("puzzle_embedding", None)  # The network does not read it, and it may be very large.
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), shapes)
    states = jnp.ones((num_examples, *model.state_shape), model.dtype)
    states = jnp.moveaxis(states, 0, model.batch_axis)

    @jax.jit
    def gradients(variables, states):
        def total(variables, states):
            out = model.apply(variables, states, method="network")
            return jnp.sum(jnp.square(out.astype(jnp.float32)))

        return jax.grad(total, argnums=(0, 1))(variables, states)

    return lambda: gradients(variables, states)


def _add_repeatedly(array: jax.Array) -> jax.Array:
    # The loop is inside the program, so that the start of a call does not count as memory traffic.
    return lax.fori_loop(0, ADDITIONS_PER_CALL, lambda _, x: 0.5 * x + 1, array)


def _fastest(call: Callable[[], Any], seconds: float) -> float:
    """Returns the seconds of the fastest call; other processes can only make a call slower."""
    jax.block_until_ready(call())  # compiles
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        begin = time.perf_counter()
        jax.block_until_ready(call())
        best = min(best, time.perf_counter() - begin)
    return best
