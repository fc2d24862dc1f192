"""Conversion between our variables and the parameter names of published PyTorch models.

PyTorch stores linear layers as `[out, in]`, this library as `[in, out]`. Prefixes that wrappers add
(`_orig_mod.`, `module.`, `model.`) are dropped. A parameter that the model does not have is an
error. A model without a published counterpart keeps its own names and layout.
"""

import dataclasses
import pathlib
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cgar_jax.models.base import Model
from cgar_jax.models.ldt import LDT
from cgar_jax.models.se_rrm import SERRM
from cgar_jax.models.trm import TRM

WRAPPERS = re.compile(r"^(.*?(?=inner\.)|((_orig_mod|module|model)\.)+)")


@dataclasses.dataclass(frozen=True)
class Naming:
    """The names of one model's parameters in the published code.

    Attributes:
      names: published names by ours; `#` stands for the number of a layer.
      transposed: last parts of our names of matrices that PyTorch transposes.
      ours_only: our names of zeros that the published code does not have.
      in_rows: our names of vectors that the published code stores as matrices with one row.
      first_columns: our names of arrays of which the published code has only the first column.
      ignored: last parts of published names of arrays that are not parameters.
      copies: published names of arrays that are stored twice, with the other name of each.
      root: beginning of all published names; files of a part of the model may lack it.
      structure: settings that decide which parameters there are, for errors.
      sizes: settings that decide their shapes, for errors.
    """

    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    transposed: tuple[str, ...] = ()
    ours_only: tuple[str, ...] = ()
    in_rows: tuple[str, ...] = ()
    first_columns: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    root: str = ""
    structure: str = "num_layers"
    sizes: str = "sizes"

    def rooted(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Returns arrays by their published names, of which each begins with `root`."""
        return {self.root + name.removeprefix(self.root): arrays[name] for name in arrays}

    def published(self, ours: str) -> str:
        """Returns the published name of a variable; ours if there is none."""
        layer = re.search(r"layers_(\d+)", ours)
        general = re.sub(r"layers_\d+", "layers_#", ours)
        return self.names.get(general, ours).replace("#", layer[1] if layer else "#")

    def to_published(self, ours: str, array: np.ndarray) -> np.ndarray:
        """Returns one of our arrays in the published layout."""
        if ours.endswith("/convolution"):  # (2, inner) here, (inner, 1, 2) there
            return array.T[:, None]
        if ours in self.first_columns:
            array = array[..., :1]
        if ours in self.in_rows and array.ndim == 1:
            array = array[None]
        return array.T if self._is_transposed(ours) else array

    def from_published(self, ours: str, array: np.ndarray) -> np.ndarray:
        """Returns a published array in our layout; the inverse of `to_published`."""
        if ours.endswith("/convolution"):
            return array[:, 0].T
        if self._is_transposed(ours):
            array = array.T
        if ours in self.first_columns:  # the published code does not train the second one
            array = np.concatenate([array, np.zeros_like(array)], axis=-1)
        if ours in self.in_rows and len(array) == 1:
            array = array[0]
        return array

    def _is_transposed(self, ours: str) -> bool:
        return ours.rsplit("/", 1)[-1] in self.transposed


def _trm_names(begin: str, layers: str, **own: Any) -> Naming:
    """Returns the names of a model that is a `TRM`.

    Args:
      begin: beginning of all names.
      layers: name of the list of layers.
      **own: the other fields of the naming; `names` are added.
    """
    layer = f"{begin}{layers}.#."
    names = {
        "params/token_embedding": f"{begin}embed_tokens.embedding_weight",
        "params/position_embedding": f"{begin}embed_pos.embedding_weight",
        "params/layers_#/token_mlp/gate_up": f"{layer}mlp_t.gate_up_proj.weight",
        "params/layers_#/token_mlp/down": f"{layer}mlp_t.down_proj.weight",
        "params/layers_#/attention/qkv": f"{layer}self_attn.qkv_proj.weight",
        "params/layers_#/attention/output": f"{layer}self_attn.o_proj.weight",
        "params/layers_#/channel_mlp/gate_up": f"{layer}mlp.gate_up_proj.weight",
        "params/layers_#/channel_mlp/down": f"{layer}mlp.down_proj.weight",
        "params/output_head": f"{begin}lm_head.weight",
        "params/halting_head": f"{begin}q_head.weight",
        "params/halting_bias": f"{begin}q_head.bias",
        "constants/initial_y": f"{begin}H_init",
        "constants/initial_z": f"{begin}L_init",
        "puzzle_embedding/table": f"{begin}puzzle_emb.weights",
    }
    return Naming(
        names=names | own.pop("names", {}),
        transposed=("gate_up", "down", "qkv", "output", "output_head", "halting_head"),
        root=begin,
        structure="mixing, positions and num_layers",
        sizes="sizes, its puzzle_embedding_tokens",
        **own,
    )


TRM_NAMES = _trm_names("inner.", "L_level.layers")
HRM_NAMES = _trm_names(
    "inner.",
    "L_level.layers",
    names={
        name.replace("/layers_", "/answer_layers_"): published.replace("L_level", "H_level")
        for name, published in TRM_NAMES.names.items()
        if "/layers_" in name
    },
)
URM_NAMES = _trm_names(
    "inner.",
    "layers",
    names={
        "params/layers_#/channel_mlp/convolution": "inner.layers.#.mlp.dwconv.weight",
        "params/layers_#/channel_mlp/convolution_bias": "inner.layers.#.mlp.dwconv.bias",
        "constants/initial_y": "inner.init_hidden",
    },
)
RSM_NAMES = _trm_names(
    "",
    "core.layers",
    ours_only=("params/halting_head", "params/halting_bias"),
    copies={"lm_head.weight": "embed_tokens.embedding_weight"},
)
SIC_NAMES = Naming(
    names={
        "params/token_embedding": "embed_tokens.weight",
        "params/layers_#/token_mlp/gate_up": "reasoning.#.attn.up_proj.weight",
        "params/layers_#/token_mlp/down": "reasoning.#.attn.down_proj.weight",
        "params/layers_#/channel_mlp/gate_up": "reasoning.#.mlp.up_proj.weight",
        "params/layers_#/channel_mlp/down": "reasoning.#.mlp.down_proj.weight",
        "params/output_head": "head.weight",
        "params/output_bias": "head.bias",
        "params/halting_head": "q_head.weight",
        "params/halting_bias": "q_head.bias",
        "constants/initial_y": "H_init",
        "constants/initial_z": "L_init",
    },
    transposed=TRM_NAMES.transposed,
    in_rows=("constants/initial_y", "constants/initial_z"),
    first_columns=("params/halting_head", "params/halting_bias"),
    structure="mixing, num_layers and num_hypotheses",
)
SE_RRM_NAMES = Naming(
    names={
        "params/special_embedding": "inner.embed_special_tokens",
        "params/symbol_embedding": "inner.embed_symbol_tokens",
        "params/special_tokens": "inner.add_tokens_special",
        "params/symbol_tokens": "inner.add_tokens",
        "params/layers_#/cell_attention/qkv": "inner.L_level.layers.#.attn.qkv_proj.weight",
        "params/layers_#/cell_attention/output": "inner.L_level.layers.#.attn.o_proj.weight",
        "params/layers_#/symbol_attention/qkv": "inner.L_level.layers.#.attn_t.qkv_proj.weight",
        "params/layers_#/symbol_attention/output": "inner.L_level.layers.#.attn_t.o_proj.weight",
        "params/layers_#/mlp/gate_up": "inner.L_level.layers.#.mlp.gate_up_proj.weight",
        "params/layers_#/mlp/down": "inner.L_level.layers.#.mlp.down_proj.weight",
        "params/output_head": "inner.lm_head.weight",
        "constants/initial_y": "inner.Z_init",
    },
    transposed=("gate_up", "down", "qkv", "output", "output_head"),
    ours_only=("puzzle_embedding/table",),
    root="inner.",
    structure="equivariant and num_layers",
    sizes="sizes, its extra_tokens",
)
PLAIN_SE_RRM_NAMES = dataclasses.replace(
    SE_RRM_NAMES,
    names=SE_RRM_NAMES.names | {"params/symbol_embedding": "inner.embed_symbols"},
)
LDT_NAMES = Naming(
    names={
        "params/candidate_embedding/kernel": "input_proj.weight",
        "params/candidate_embedding/bias": "input_proj.bias",
        "params/row_embedding": "backbone.row_embed.weight",
        "params/column_embedding": "backbone.col_embed.weight",
        "params/conflict_token": "backbone.cls_embed",
        "params/conflict_position": "backbone.cls_pos",
        "params/layers_#/norm_attention/scale": "backbone.layers.#.norm1.weight",
        "params/layers_#/norm_attention/bias": "backbone.layers.#.norm1.bias",
        "params/layers_#/qkv/kernel": "backbone.layers.#.attn.in_proj_weight",
        "params/layers_#/qkv/bias": "backbone.layers.#.attn.in_proj_bias",
        "params/layers_#/output/kernel": "backbone.layers.#.attn.out_proj.weight",
        "params/layers_#/output/bias": "backbone.layers.#.attn.out_proj.bias",
        "params/layers_#/norm_mlp/scale": "backbone.layers.#.norm2.weight",
        "params/layers_#/norm_mlp/bias": "backbone.layers.#.norm2.bias",
        "params/layers_#/up/kernel": "backbone.layers.#.ffn.fc1.weight",
        "params/layers_#/up/bias": "backbone.layers.#.ffn.fc1.bias",
        "params/layers_#/down/kernel": "backbone.layers.#.ffn.fc2.weight",
        "params/layers_#/down/bias": "backbone.layers.#.ffn.fc2.bias",
        "params/norm/scale": "loop_norm.weight",
        "params/norm/bias": "loop_norm.bias",
        "params/keep_head/kernel": "bce_head.weight",
        "params/keep_head/bias": "bce_head.bias",
        "params/digit_head/kernel": "softmax_head.weight",
        "params/digit_head/bias": "softmax_head.bias",
        "params/conflict_head/kernel": "conflict_head.weight",
        "params/conflict_head/bias": "conflict_head.bias",
    },
    transposed=("kernel",),
    ours_only=("constants/initial_state", "puzzle_embedding/table"),
    ignored=("row_idx", "col_idx"),
)


def _naming_of_trm(model: TRM) -> Naming:
    """Returns the names of the published model whose parameters a TRM has."""
    naming = HRM_NAMES if model.num_networks == 2 else TRM_NAMES
    if model.num_states == 1:
        naming = URM_NAMES
    elif model.tied_head:
        naming = RSM_NAMES
    elif model.prefix_token:
        naming = SIC_NAMES
    without_table = () if model.puzzle_embedding_tokens else ("puzzle_embedding/table",)
    return dataclasses.replace(naming, ours_only=naming.ours_only + without_table)


NAMINGS: dict[type, Callable[[Any], Naming]] = {
    TRM: _naming_of_trm,
    LDT: lambda _: LDT_NAMES,
    SERRM: lambda model: SE_RRM_NAMES if model.equivariant else PLAIN_SE_RRM_NAMES,
}


def num_puzzle_rows(arrays: Mapping[str, Any]) -> int:
    """Returns the number of puzzle embeddings among published arrays of TRM; 1 without a table."""
    return len(TRM_NAMES.rooted(arrays).get("inner.puzzle_emb.weights", [None]))


def import_published(source: Mapping[str, Any] | str | pathlib.Path, model: Model) -> dict:
    """Converts published PyTorch parameters to the variables of a model.

    Args:
      source: arrays by published name (`inner.L_level.layers.0.mlp.down_proj.weight`, ...), or the
        path of a file that `read_published` reads.
      model: the model that they belong to.

    Returns:
      `{"params": ..., "constants": ..., "puzzle_embedding": ...}` in `model.param_dtype`.

    Raises:
      ValueError: if a parameter is missing, unknown or has another shape than the model's, or the
        file cannot be read (see `read_published`).
      FileNotFoundError: if the file does not exist.
    """
    naming, kind = _naming(model), type(model).__name__
    arrays = _unwrapped(source) if isinstance(source, Mapping) else read_published(source)
    arrays = naming.rooted(arrays)
    expected = _shapes(model)
    names = {ours: naming.published(ours) for ours in expected if ours not in naming.ours_only}
    given = {name for name in arrays if name.rsplit(".", 1)[-1] not in naming.ignored}
    given -= naming.copies.keys()
    missing, unknown = sorted(set(names.values()) - given), sorted(given - set(names.values()))
    if missing or unknown:
        raise ValueError(
            f"the published parameters do not fit this {kind}: "
            f"missing {missing or 'none'}, unknown {unknown or 'none'}; "
            f"check the model's {naming.structure}"
        )
    variables = {ours: np.zeros(expected[ours]) for ours in naming.ours_only}
    for ours, theirs in names.items():
        variables[ours] = naming.from_published(ours, np.asarray(arrays[theirs]))
        if variables[ours].shape != expected[ours]:
            needed = naming.to_published(ours, np.empty(expected[ours])).shape
            raise ValueError(
                f"{theirs} has shape {np.shape(arrays[theirs])}, but this model needs {needed}; "
                f"check the model's {naming.sizes}, and the size and kind of the puzzles"
            )
    variables = {ours: jnp.asarray(array, model.param_dtype) for ours, array in variables.items()}
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


def export_published(variables: Mapping[str, Any], model: Model) -> dict[str, np.ndarray]:
    """Converts variables to arrays by published name, the inverse of `import_published`.

    The published code reads them once they are saved by
    `torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, file)` or
    `safetensors.numpy.save_file(arrays, file)`.

    Args:
      variables: the three collections of the model, or some of them.
      model: the model.

    Returns:
      Arrays in PyTorch's layout; in our own if there is no published code of this model.
    """
    naming = _naming(model)
    exported = {
        naming.published(ours): np.asarray(naming.to_published(ours, np.asarray(array)), order="C")
        for ours, array in flax.traverse_util.flatten_dict(variables, sep="/").items()
        if ours not in naming.ours_only
    }
    copies = naming.copies.items()
    return exported | {copy: exported[name] for copy, name in copies if name in exported}


def _naming(model: Model) -> Naming:
    return NAMINGS.get(type(model), lambda _: Naming())(model)


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    abstract = jax.eval_shape(
        model.init,
        jax.random.key(0),
        jnp.zeros((1, model.sequence_length), jnp.int32),
        jnp.zeros(1, jnp.int32),
    )
    flat = flax.traverse_util.flatten_dict(abstract, sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def _unwrapped(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {WRAPPERS.sub("", name): value for name, value in arrays.items()}


def _from_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"reading {path} needs PyTorch (pip install torch); .safetensors files do not"
        ) from None
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}
