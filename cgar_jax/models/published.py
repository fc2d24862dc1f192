"""Conversion between our variables and the parameter names of the published PyTorch TRM.

PyTorch stores linear layers as `[out, in]`, this library as `[in, out]`. Prefixes that wrappers add
(`_orig_mod.`, `model.`) are dropped. A parameter that the model does not have is an error.
"""

import pathlib
import pickle
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cgar_jax.models.trm import TRM

# Names inside a layer, ours and the published ones; all are matrices to transpose.
LAYER_NAMES = {
    "token_mlp/gate_up": "mlp_t.gate_up_proj.weight",
    "token_mlp/down": "mlp_t.down_proj.weight",
    "attention/qkv": "self_attn.qkv_proj.weight",
    "attention/output": "self_attn.o_proj.weight",
    "channel_mlp/gate_up": "mlp.gate_up_proj.weight",
    "channel_mlp/down": "mlp.down_proj.weight",
}
NAMES = {
    "params/token_embedding": "inner.embed_tokens.embedding_weight",
    "params/position_embedding": "inner.embed_pos.embedding_weight",
    "params/output_head": "inner.lm_head.weight",
    "params/halting_head": "inner.q_head.weight",
    "params/halting_bias": "inner.q_head.bias",
    "constants/initial_y": "inner.H_init",
    "constants/initial_z": "inner.L_init",
    "puzzle_embedding/table": "inner.puzzle_emb.weights",
}
PUZZLE_TABLE = NAMES["puzzle_embedding/table"]
TRANSPOSED = {"params/output_head", "params/halting_head"}


def import_published(source: Mapping[str, Any] | str | pathlib.Path, model: TRM) -> dict:
    """Converts published PyTorch parameters to the variables of a model.

    Args:
      source: arrays by published name (`inner.L_level.layers.0.mlp.down_proj.weight`, ...), or the
        path of a file that `read_published` reads.
      model: the TRM that they belong to.

    Returns:
      `{"params": ..., "constants": ..., "puzzle_embedding": ...}` in `model.param_dtype`.

    Raises:
      ValueError: if a parameter is missing, unknown or has another shape than the model's, or the
        file cannot be read (see `read_published`).
      FileNotFoundError: if the file does not exist.
    """
    arrays = _unwrapped(source) if isinstance(source, Mapping) else read_published(source)
    expected = _shapes(model)
    names = {ours: _published_name(ours) for ours in expected}
    missing = sorted(set(names.values()) - set(arrays))
    unknown = sorted(set(arrays) - set(names.values()))
    if missing or unknown:
        raise ValueError(
            f"the published parameters do not fit this {type(model).__name__}: "
            f"missing {missing or 'none'}, unknown {unknown or 'none'}; "
            "check the model's mixing, positions and num_layers"
        )
    variables = {}
    for ours, theirs in names.items():
        array = _transposed(ours, np.asarray(arrays[theirs]))
        if array.shape != expected[ours]:
            raise ValueError(
                f"{theirs} has shape {_transposed(ours, array).shape}, but this model needs "
                f"{_transposed(ours, np.empty(expected[ours])).shape}; check the model's sizes, "
                "its puzzle_embedding_tokens, and the size and kind of the puzzles"
            )
        variables[ours] = jnp.asarray(array, model.param_dtype)
    return flax.traverse_util.unflatten_dict(variables, sep="/")


def read_published(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads published parameters from a file, by name without the prefixes of wrappers.

    Args:
      path: a `.safetensors` file, or a state dict saved by PyTorch (any other ending; needs torch).

    Returns:
      The arrays, in PyTorch's layout.

    Raises:
      ValueError: if the file is damaged or has another format, or torch is not installed.
      FileNotFoundError: if the file does not exist.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no parameter file {path}")
    read = load_file if path.suffix == ".safetensors" else _from_torch
    try:
        return _unwrapped(read(path))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as e:
        reason = str(e).splitlines() or [type(e).__name__]
        raise ValueError(
            f"{path} is neither a .safetensors file nor a state dict saved by PyTorch "
            f"({reason[0][:200]})"
        ) from e


def export_published(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Converts variables to arrays by published name, the inverse of `import_published`.

    The published code reads them once they are saved by
    `torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, file)` or
    `safetensors.numpy.save_file(arrays, file)`.

    Args:
      variables: the three collections of a model.

    Returns:
      Arrays in PyTorch's layout.
    """
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    return {
        _published_name(ours): np.ascontiguousarray(_transposed(ours, np.asarray(array)))
        for ours, array in flat.items()
    }


def _shapes(model: TRM) -> dict[str, tuple[int, ...]]:
    abstract = jax.eval_shape(
        model.init,
        jax.random.key(0),
        jnp.zeros((1, model.sequence_length), jnp.int32),
        jnp.zeros(1, jnp.int32),
    )
    flat = flax.traverse_util.flatten_dict(abstract, sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def _published_name(ours: str) -> str:
    if ours in NAMES:
        return NAMES[ours]
    layer, name = ours.removeprefix("params/layers_").split("/", 1)
    return f"inner.L_level.layers.{layer}.{LAYER_NAMES[name]}"


def _transposed(ours: str, array: np.ndarray) -> np.ndarray:
    return array.T if ours in TRANSPOSED or ours not in NAMES else array


def _unwrapped(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {"inner." + name.split("inner.", 1)[-1]: value for name, value in arrays.items()}


def _from_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"reading {path} needs PyTorch (pip install torch); .safetensors files do not"
        ) from None
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}
