"""Trained models apart from their training: loaded from a run, a folder or the hub, and saved.

The folder of a shared model has `model.safetensors`, the averaged parameters under the names that
the published PyTorch code gives them, which therefore reads it too; `config.json`, the config of
the run and the task of its data; `README.md`, the model card; and `result.json`, what was measured.
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import safetensors
from safetensors.numpy import save_file

from cgar_jax import experiment, models, run_folder
from cgar_jax.experiment import Experiment, Task
from cgar_jax.mesh import place
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.state import Weights, averaged

PARAMETERS = "model.safetensors"


class Trained(NamedTuple):
    """A trained model."""

    pieces: Experiment  # what its config names, on a mesh of the devices here
    weights: Weights  # averaged parameters
    step: int  # optimizer steps that it was trained for


def load(source: str | os.PathLike) -> Trained:
    """Loads the folder of a run (its newest checkpoint), a shared folder, or one of the hub.

    Args:
      source: a folder, or `OWNER/NAME` of a repository on the Hugging Face hub where there is no
        such folder.

    Raises:
      FileNotFoundError: there is no run and no model.
      ConnectionError: the hub does not give it.
      ValueError: the parameters are not those of the model that the config describes.
      CheckpointError: no checkpoint of the run is whole.
    """
    folder = locate(source)
    config, task = run_folder.read_settings(folder)
    if (folder / PARAMETERS).is_file():
        return _from_parameters(folder, config, task)
    return _from_checkpoint(folder, config, task)


def locate(source: str | os.PathLike) -> pathlib.Path:
    """The folder that `load` reads, downloaded if it is one of the hub; for args and errors see it.

    Whether it holds a model is not looked at.
    """
    folder = pathlib.Path(source)
    if not folder.is_dir() and _is_hub_name(str(source)):
        return _download(str(source))
    return folder


def check_size(model: Trained, examples: Mapping[str, np.ndarray], where: str) -> None:
    """Raises ValueError if puzzles, read from `where`, are of another size than the model's."""
    cells, expected = examples["inputs"].shape[1], model.pieces.task.sequence_length
    if cells != expected:
        raise ValueError(
            f"{where} has puzzles of {cells} cells; the model was trained on {expected}"
        )


def save(
    folder: str | os.PathLike,
    config: ml_collections.ConfigDict,
    task: Task,
    weights: Weights,
    step: int,
    card: str,
    result: Mapping[str, Any] | None = None,
) -> None:
    """Writes the folder of a shared model.

    Args:
      folder: is made if it is not there.
      config: of the run.
      task: of its data.
      weights: as of `Trained`.
      step: optimizer steps that it was trained for.
      card: text of the model card.
      result: what was measured, where anything was.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    variables, table = jax.device_get(weights)
    collections = variables | {"puzzle_embedding": {"table": table}}
    fresh = folder / f"{PARAMETERS}.tmp"
    save_file(models.export_published(collections), fresh, metadata={"step": str(step)})
    os.replace(fresh, folder / PARAMETERS)
    (folder / "README.md").write_text(card)
    run_folder.write_json(folder / "config.json", run_folder.settings(config, task))
    if result is not None:
        run_folder.write_json(folder / "result.json", result)


def _from_checkpoint(
    folder: pathlib.Path, config: ml_collections.ConfigDict, task: Task
) -> Trained:
    # What a checkpoint says of its config is compared with what the run was asked for.
    pieces = _build(config, task)
    settings = run_folder.settings(config, task)
    with Checkpoints(folder, settings, config.checkpoint.keep, read_only=True) as saved:
        restored = saved.restore(pieces.abstract_state())
    if restored is None:
        raise FileNotFoundError(f"no checkpoint in {saved.folder}; train the run first")
    state = restored[0]
    return Trained(pieces, averaged(state), int(state.step))


def _from_parameters(
    folder: pathlib.Path, config: ml_collections.ConfigDict, task: Task
) -> Trained:
    pieces = _build(config, task)
    path = folder / PARAMETERS
    with safetensors.safe_open(path, "numpy") as file:
        step = int((file.metadata() or {}).get("step", 0))
    collections = models.import_published(path, pieces.model)
    like = averaged(pieces.abstract_state())
    table = collections.pop("puzzle_embedding")["table"]
    weights = jax.tree.map(_placed, Weights(collections, table), like)
    return Trained(pieces, weights, step)


def _placed(array: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    return place(np.asarray(array, like.dtype), like.sharding)


def _build(config: ml_collections.ConfigDict, task: Task) -> Experiment:
    # As many of the devices here as divide the batch; the run may have had others.
    config.mesh = {"data": math.gcd(config.batch_size, jax.device_count())}
    return experiment.build(config, task)


def _is_hub_name(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~"))


def _download(name: str) -> pathlib.Path:
    # Imported here because only this needs it.
    import huggingface_hub

    try:
        return pathlib.Path(huggingface_hub.snapshot_download(name))
    except Exception as error:  # the library's errors have no base class in common
        raise ConnectionError(
            f"there is no folder {name}, and the hub did not give a model of that name "
            f"({type(error).__name__}); check the name and the network"
        ) from error
