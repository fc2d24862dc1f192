"""The train state: one pytree with everything that a resumed run needs.

`cgar_jax.training.step` updates the state, and `cgar_jax.training.shardings` places its arrays on
the devices.
"""

import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from cgar_jax.models import ModelParams
from cgar_jax.recursion import Carry


class TrainState(NamedTuple):
    """The state of a training run; jitted, donated, sharded and checkpointed as a whole."""

    step: jax.Array  # number of optimizer steps done, int32 []
    key: jax.Array  # random key of the run []; step k uses fold_in(key, k)
    params: Any  # parameters that the main optimizer trains
    ema_params: Any  # exponential moving average of the parameters, float32, used by evaluation
    constants: Any  # initial states of the model, never trained
    puzzle_table: jax.Array  # [num_puzzle_identifiers, puzzle_embedding_size]
    optimizer_state: Any
    weighting_state: Any
    sampling_state: Any
    depth_state: Any  # state of the depth curriculum
    carry: Carry


def variables(params: Any, constants: Any) -> dict[str, Any]:
    """Returns the model's variables with these parameters (the current ones or their average)."""
    return {"params": params, "constants": constants}


def averaged(state: TrainState) -> ModelParams:
    """Returns the averaged parameters, which evaluation uses."""
    return ModelParams(variables(state.ema_params, state.constants), state.puzzle_table)


def parameters_sha256(params: Any) -> str:
    """Returns a digest of all parameters: names, dtypes, shapes and bytes, ordered by name."""
    digest = hashlib.sha256()
    for path, leaf in sorted(
        (jax.tree_util.keystr(path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(_on_host(params))
    ):
        digest.update(f"{path} {leaf.dtype} {leaf.shape}\n".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _on_host(arrays: Any) -> Any:
    """Gathers whole arrays from all processes; every process must call this function."""
    return multihost_utils.process_allgather(arrays, tiled=True)
