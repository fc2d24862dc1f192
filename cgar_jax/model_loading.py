"""Makes a `TrainedModel` from the folder of a run, a shared model, or a published checkpoint."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from cgar_jax import data, model_files, models, runs
from cgar_jax.config_values import plain_config
from cgar_jax.experiment import Task
from cgar_jax.mesh import place
from cgar_jax.models import ModelParams
from cgar_jax.models.published import num_puzzle_rows
from cgar_jax.trained_model import TrainedModel, build
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.state import averaged


def load(source: str | os.PathLike = model_files.PRETRAINED) -> TrainedModel:
    """Loads a trained model.

    Args:
      source: the folder of a run (its newest checkpoint is loaded) or of an exported model, or
        `OWNER/NAME` of a repository on the Hugging Face hub. By default, the model that comes with
        the package, which solves Sudoku.

    Raises:
      FileNotFoundError: if there is neither a run nor a model.
      ConnectionError: if the hub does not provide the model.
      ValueError: if the parameters do not fit the config, a file is damaged, or the config was
        written by another version.
      CheckpointError: if no checkpoint of the run is intact.
    """
    folder = model_files.locate(source)
    config, task = runs.read_settings(folder)
    path = folder / model_files.PARAMETERS
    if not path.is_file():
        return _from_checkpoint(folder, config, task)
    parameters = models.read_published(path)
    model = from_published(parameters, config, task)
    trained_on = model_files.read_trained_on(folder)
    return dataclasses.replace(
        model, folder=folder, trained_on=trained_on, **model_files.read_metadata(path)
    )


def from_published(
    parameters: Mapping[str, np.ndarray], config: ml_collections.ConfigDict, task: Task
) -> TrainedModel:
    """Makes a trained model from parameters under their published names.

    Args:
      parameters: arrays by name, as from `cgar_jax.models.read_published`.
      config: config of the model and its data.
      task: task of the data.

    Raises:
      ValueError: if the parameters do not fit the model that the config describes.
    """
    built = build(config, task)
    # Averaged parameters are float32, regardless of the dtype of the trained ones.
    collections = models.import_published(parameters, built.model.clone(param_dtype="float32"))
    table = collections.pop("puzzle_embedding")["table"]
    like = averaged(built.abstract_state())
    return TrainedModel(built, jax.tree.map(_placed, ModelParams(collections, table), like))


def convert(checkpoint: str | os.PathLike, config: ml_collections.ConfigDict) -> TrainedModel:
    """Makes a trained model from a published PyTorch checkpoint.

    The puzzle table of the checkpoint may have any number of rows.

    Args:
      checkpoint: path of a state dict, see `cgar_jax.models.read_published`.
      config: config of the model and its data, as from `cgar_jax.config.default_config`.

    Raises:
      ValueError: if the file is damaged, a parameter does not fit the model of the config (the
        message names it), or the model answers only puzzles with embeddings, whose order in the
        file only its own data set defines.
      OSError: if the file does not exist.
    """
    config = plain_config(config)
    if data.family_of(config.data.name).rules is None:
        raise ValueError(
            f"a published checkpoint of {config.data.name!r} cannot be converted, because it does "
            "not record which puzzles its embeddings belong to"
        )
    parameters = models.read_published(checkpoint)
    rows = num_puzzle_rows(parameters)
    task = dataclasses.replace(Task.expected(config.data), num_puzzle_identifiers=rows)
    model = from_published(parameters, config, task)
    return dataclasses.replace(model, origin=pathlib.Path(checkpoint).name)


def _from_checkpoint(
    folder: pathlib.Path, config: ml_collections.ConfigDict, task: Task
) -> TrainedModel:
    # The checkpoint's own settings are compared with those that the run was started with.
    built = build(config, task)
    settings = runs.settings(config, task)
    with Checkpoints(folder, settings, config.checkpoint.keep, read_only=True) as saved:
        # The data of a run may have been changed on purpose since its newest checkpoint.
        restored = saved.restore(built.abstract_state(), allow_changed_data=True)
    if restored is None:
        raise FileNotFoundError(f"there is no checkpoint in {saved.folder}; train the run first")
    state, _, trained_on = restored
    rows = len(state.puzzle_table)
    if rows != task.num_puzzle_identifiers:
        built = build(config, dataclasses.replace(task, num_puzzle_identifiers=rows))
    model = TrainedModel(built, averaged(state), int(state.step), folder=folder)
    return dataclasses.replace(model, trained_on=trained_on)


def _placed(array: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    return place(np.asarray(array, like.dtype), like.sharding)
