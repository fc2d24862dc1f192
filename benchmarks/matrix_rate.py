"""The rate at which the devices of this machine multiply large matrices.

This is a practical upper bound for the rate of any program; `step_cost.py` compares a training step
with it.
"""

import functools

import jax
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from measuring import timed

from cgar_jax.mesh import BATCH, over_batch, replicated


class MatrixProducts:
    """A chain of products of large matrices that all devices compute at the same time.

    All devices compute, because simulated devices share one machine: one would seem too fast.
    """

    def __init__(self, mesh: Mesh, dtype: str, size: int, repeats: int):
        """Makes the matrices.

        Args:
          mesh: the devices.
          dtype: dtype of the matrices.
          size: number of rows and columns.
          repeats: number of products, one after another, on each device.
        """
        self.flops = 2 * repeats * mesh.size * size**3
        whole = PartitionSpec()

        @jax.jit
        @functools.partial(jax.shard_map, mesh=mesh, in_specs=(BATCH, whole), out_specs=BATCH)
        def products(a, b):
            return lax.fori_loop(0, repeats, lambda _, c: (c @ b).astype(c.dtype), a)

        self._products = products
        # With this standard deviation, the entries of the products neither grow nor vanish.
        keys, rows = jax.random.split(jax.random.key(0)), (mesh.size * size, size)
        a, b = (
            jax.random.normal(key, (num_rows, size), dtype) * size**-0.5
            for key, num_rows in zip(keys, rows, strict=True)
        )
        self._matrices = jax.device_put(a, over_batch(mesh)), jax.device_put(b, replicated(mesh))

    def measure(self) -> float:
        """Runs the products once, and returns their FLOPs per second."""
        _, seconds = timed(self._products, *self._matrices)
        return self.flops / seconds
