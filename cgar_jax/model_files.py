"""The folder of a shared model: writing it, finding it and reading it.

The folder holds `model.safetensors`, the averaged parameters under the names of the published
PyTorch code, which can therefore read them too; `config.json`, the config of the run and the task
of its data; `trained_on.json`, the fingerprint of its training data, which names the owners of the
puzzle embeddings; `README.md`, the model card; `SHA256SUMS`, the checksum of the parameters, which
`sha256sum --check` verifies; `result.json`, if anything was measured; and possibly
`solve.stablehlo`, a program that solves puzzles without this package.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import huggingface_hub
import safetensors
import safetensors.numpy

from cgar_jax import runs
from cgar_jax.data import Fingerprint

PARAMETERS, PROGRAM, CARD = "model.safetensors", "solve.stablehlo", "README.md"
TRAINED_ON, CHECKSUM = "trained_on.json", "SHA256SUMS"
PRETRAINED = "sudoku_deduction"
"""The name of the model that comes with the package; it solves Sudoku."""
_PRETRAINED_FOLDER = pathlib.Path(__file__).parent / "pretrained"
_METADATA_KEY = "cgar_jax"


def locate(source: str | os.PathLike) -> pathlib.Path:
    """Returns the local folder of a run or model, downloading it from the hub if necessary.

    Does not check that the folder contains a model.

    Args:
      source: a folder; or, if there is none of that name, `PRETRAINED`; or, if there is no folder
        `OWNER`, the name `OWNER/NAME` of a repository on the Hugging Face hub.

    Raises:
      ConnectionError: if the hub does not provide a model of that name.
    """
    folder = pathlib.Path(source).expanduser()
    if str(source) == PRETRAINED and not folder.exists():
        return _PRETRAINED_FOLDER / PRETRAINED
    if not folder.parent.is_dir() and _is_hub_name(str(source)):
        return _download(str(source))
    return folder


def write(
    folder: str | os.PathLike,
    parameters: Mapping[str, Any],
    metadata: Mapping[str, Any],
    files: Mapping[str, bytes | None],
) -> None:
    """Writes the folder of a shared model, replacing an earlier one.

    The earlier model stays until all of the new one is on disk. Whenever the process dies, the
    folder holds the old model, the new model, or no model.

    Args:
      folder: the folder; it is created if necessary.
      parameters: arrays by published name.
      metadata: JSON-serializable metadata for `read_metadata`.
      files: contents of the other files by name; None if there is no such file.

    Raises:
      OSError: if the folder holds other files, or cannot be written to.
    """
    check_output(folder)
    folder = runs.make_folder(folder, "output")
    # One entry of metadata, because several would be written in an arbitrary order.
    noted = {_METADATA_KEY: json.dumps(dict(metadata))}
    contents = {PARAMETERS: safetensors.numpy.save(dict(parameters), noted)}
    digest = hashlib.sha256(contents[PARAMETERS]).hexdigest()
    contents[CHECKSUM] = f"{digest}  {PARAMETERS}\n".encode()
    contents |= {name: content for name, content in files.items() if content is not None}
    settings = contents.pop(runs.SETTINGS)
    contents[runs.SETTINGS] = settings  # last: without its settings a folder holds no model
    for name, content in contents.items():
        (folder / f"{name}.tmp").write_bytes(content)
    for name in (runs.RESULT, PROGRAM, TRAINED_ON, runs.SETTINGS):
        (folder / name).unlink(missing_ok=True)
    for name in contents:
        os.replace(folder / f"{name}.tmp", folder / name)


def check_output(folder: str | os.PathLike) -> None:
    """Checks that a model may be written to a folder: it is absent, empty or holds a model.

    Raises:
      FileExistsError: if the folder holds other files.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"output {folder} is a file; give the name of a folder")
    others = sorted(file.name for file in folder.iterdir() if file.suffix != ".tmp")
    if others and "step" not in read_metadata(folder / PARAMETERS):
        raise FileExistsError(
            f"output {folder} holds other files ({', '.join(others[:3])}), which are left "
            "untouched; give a new folder, or that of an earlier export"
        )


def check_replaced(
    folder: str | os.PathLike, settings: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    """Checks that writing a model to a folder replaces no other model.

    An earlier export of the same run may be replaced: one with the same settings and no more
    steps. Converted checkpoints are never known to be the same.

    Args:
      folder: the folder.
      settings: settings of the model, as from `cgar_jax.runs.settings`.
      metadata: metadata of the model, as for `write`.

    Raises:
      FileExistsError: if the folder holds another model.
    """
    folder = pathlib.Path(folder).expanduser()
    found = read_metadata(folder / PARAMETERS)
    if "step" not in found or not (folder / runs.SETTINGS).is_file():
        return
    same_run = (
        runs.read_json(folder / runs.SETTINGS) == json.loads(runs.as_json(settings))
        and found.get("origin") == metadata["origin"] == ""
    )
    if not same_run or found["step"] > metadata["step"]:
        what = "a later checkpoint of this run" if same_run else "another model"
        of = f"converted from {found['origin']}" if found.get("origin") else "exported"
        raise FileExistsError(
            f"output {folder} holds {what}, {of} at step {found['step']:,}; --overwrite "
            "(overwrite=True in Python) replaces it, or give another folder"
        )


def read_metadata(path: pathlib.Path) -> dict[str, Any]:
    """Returns the metadata that `write` stored with the parameters; empty if it did not."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return json.loads((file.metadata() or {}).get(_METADATA_KEY, "{}"))
    except (OSError, ValueError, safetensors.SafetensorError):
        return {}


def read_trained_on(folder: pathlib.Path) -> Fingerprint | None:
    """Reads the fingerprint of a model's training data; None if the folder has none.

    Raises:
      ValueError: if the file is damaged; the message names it.
    """
    path = folder / TRAINED_ON
    if not path.is_file():
        return None
    try:
        return Fingerprint.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from None


def _is_hub_name(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~"))


def _download(name: str) -> pathlib.Path:
    try:
        files = (PARAMETERS, "*.json")
        return pathlib.Path(huggingface_hub.snapshot_download(name, allow_patterns=files))
    except huggingface_hub.errors.RepositoryNotFoundError as error:
        raise ConnectionError(
            f"there is no folder {name}, and the Hugging Face hub has no model of that name, or it "
            "is private (`hf auth login`)"
        ) from error
    except Exception as error:  # the library's errors have no base class in common
        raise ConnectionError(
            f"there is no folder {name}, and the Hugging Face hub cannot be reached to look for a "
            f"model of that name ({type(error).__name__}); check the network"
        ) from error
