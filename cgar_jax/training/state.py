"""The state of a run: one pytree that holds everything a resumed run needs."""

import hashlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils

from cgar_jax.models import Model, ModelParams
from cgar_jax.recursion import Carry, initial_carry
from cgar_jax.sampling import Sampling


class TrainState(NamedTuple):
    """Jitted, donated, sharded and checkpointed as a whole."""

    step: jax.Array  # [] int32, optimizer steps done
    key: jax.Array  # [] random key of the run; step k draws from fold_in(key, k)
    params: Any  # what the main optimizer trains
    ema_params: Any  # their exponential moving average, float32, used by evaluation
    constants: Any  # the model's initial states, never trained
    puzzle_table: jax.Array  # [num_puzzle_identifiers, puzzle_embedding_size]
    optimizer_state: Any
    weighting_state: Any
    sampling_state: Any
    depth_state: Any  # of the depth curriculum
    carry: Carry


def variables(params: Any, constants: Any) -> dict[str, Any]:
    """Variables of the model with these parameters: a state's own, or their average."""
    return {"params": params, "constants": constants}


def averaged(state: TrainState) -> ModelParams:
    """Returns the averaged parameters, which evaluation uses."""
    return ModelParams(variables(state.ema_params, state.constants), state.puzzle_table)


def initial_state(
    model: Model,
    optimizer: optax.GradientTransformation,
    weighting: optax.GradientTransformationExtraArgs,
    sampling: Sampling,
    depth_state: Any,
    loss_template: Any,
    fresh_examples: dict[str, jax.Array],
    key: jax.Array,
) -> TrainState:
    """A run before its first step.

    Args:
      model: a flax module of `cgar_jax.models`.
      optimizer: of the parameters.
      weighting: of the per-example losses.
      sampling: of the training examples.
      depth_state: of the depth curriculum.
      loss_template: the losses that the weighting will see, for shapes and dtypes.
      fresh_examples: one batch, for shapes and dtypes.
      key: of the run.
    """
    init_key, run_key = jax.random.split(key)
    collections = model.init(
        init_key, fresh_examples["inputs"], fresh_examples["puzzle_identifiers"]
    )
    params = collections["params"]
    carry = initial_carry(fresh_examples, model.state_shape, model.dtype)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        params=params,
        # A copy: an alias would be a buffer donated twice.
        ema_params=jax.tree.map(lambda p: jnp.array(p, jnp.float32, copy=True), params),
        constants=collections["constants"],
        puzzle_table=collections["puzzle_embedding"]["table"],
        optimizer_state=optimizer.init(params),
        weighting_state=weighting.init(loss_template),
        sampling_state=sampling.init(),
        depth_state=depth_state,
        carry=carry,
    )


def parameters_sha256(params: Any) -> str:
    """Digest of all parameters' names, dtypes, shapes and bytes, in the order of their names."""
    digest = hashlib.sha256()
    for path, leaf in sorted(
        (jax.tree_util.keystr(path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(_on_host(params))
    ):
        digest.update(f"{path} {leaf.dtype} {leaf.shape}\n".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _on_host(arrays: Any) -> Any:
    """Whole arrays, also where other processes hold a part of them; all processes must ask."""
    return multihost_utils.process_allgather(arrays, tiled=True)
