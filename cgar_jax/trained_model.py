"""Trained models apart from their training: loaded from a run, a folder or the hub, and saved.

The folder of a shared model has `model.safetensors`, the averaged parameters under the names that
the published PyTorch code gives them, which therefore reads it too; `config.json`, the config of
the run and the task of its data; `README.md`, the model card; where there is one, `result.json`,
what was measured; and perhaps `solve.stablehlo`, see `cgar_jax.commands.export`.
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import safetensors.numpy

from cgar_jax import data, experiment, models
from cgar_jax import runs as run_folder
from cgar_jax.experiment import Experiment, Task
from cgar_jax.mesh import place
from cgar_jax.recursion.tracing import Trace, trace
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.state import Weights, averaged

PARAMETERS, PROGRAM = "model.safetensors", "solve.stablehlo"
NOTED = "cgar_jax"
CARD = "README.md"


class Trained(NamedTuple):
    """A trained model."""

    pieces: Experiment  # what its config names, on a mesh of the devices here
    weights: Weights  # averaged parameters
    step: int  # optimizer steps that it was trained for; 0 if nobody knows
    origin: str = ""  # name of the published checkpoint that it was converted from

    @property
    def accepts(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
        """`(questions, answers) -> bool [num]` by the rules of its puzzles; None without rules."""
        rules = data.family_of(self.pieces.config.data.name).rules
        return rules and rules.accepts

    def trace(self, question: np.ndarray, puzzle_identifier: int = 0) -> Trace:
        """What it thinks of a puzzle in all supervision steps of training.

        Args:
          question: tokens `[num_cells]`.
          puzzle_identifier: of ARC, the number of the puzzle.
        """
        pieces = self.pieces
        return trace(
            pieces.model,
            pieces.curriculum.full_depth,
            pieces.config.supervision.max_supervision_steps,
            pieces.train_step.answer_loss,
            self.weights,
            pieces.mesh,
            question,
            puzzle_identifier,
        )

    def check_size(self, examples: Mapping[str, np.ndarray], where: str) -> None:
        """Raises ValueError if puzzles, read from `where`, are of another size than the model's."""
        cells, expected = examples["inputs"].shape[1], self.pieces.task.sequence_length
        if cells != expected:
            raise ValueError(
                f"{where} has puzzles of {cells} cells; the model was trained on {expected}"
            )


def load(source: str | os.PathLike | Trained) -> Trained:
    """Loads the folder of a run (its newest checkpoint), a shared folder, or one of the hub.

    Args:
      source: a folder, or `OWNER/NAME` of a repository on the Hugging Face hub where there is no
        such folder. A model that is loaded already is returned as it is.

    Raises:
      FileNotFoundError: there is no run and no model.
      ConnectionError: the hub does not give it.
      ValueError: the parameters are not those of the model that the config describes, a file is
        damaged, or the config is of another version.
      CheckpointError: no checkpoint of the run is whole.
    """
    if isinstance(source, Trained):
        return source
    folder = locate(source)
    config, task = run_folder.read_settings(folder)
    path = folder / PARAMETERS
    if not path.is_file():
        return _from_checkpoint(folder, config, task)
    parameters = models.read_published(path)
    return from_published(parameters, config, task, **_metadata(path))


def locate(source: str | os.PathLike) -> pathlib.Path:
    """The folder that `load` reads, downloaded if it is one of the hub; for args and errors see it.

    Whether it holds a model is not looked at.
    """
    folder = pathlib.Path(source)
    if not folder.is_dir() and _is_hub_name(str(source)):
        return _download(str(source))
    return folder


def from_published(
    parameters: Mapping[str, np.ndarray],
    config: ml_collections.ConfigDict,
    task: Task,
    step: int = 0,
    origin: str = "",
) -> Trained:
    """A trained model from parameters under their published names.

    Args:
      parameters: as of `cgar_jax.models.read_published`.
      config: of the model and its data.
      task: of the data.
      step: see `Trained`.
      origin: see `Trained`.

    Raises:
      ValueError: the parameters are not those of the model that the config describes.
    """
    pieces = _build(config, task)
    # Averaged parameters are float32 whatever the trained ones are.
    collections = models.import_published(parameters, pieces.model.clone(param_dtype="float32"))
    table = collections.pop("puzzle_embedding")["table"]
    like = averaged(pieces.abstract_state())
    weights = jax.tree.map(_placed, Weights(collections, table), like)
    return Trained(pieces, weights, step, origin)


def save(
    folder: str | os.PathLike,
    model: Trained,
    card: str,
    result: Mapping[str, Any] | None = None,
    program: bytes | None = None,
) -> None:
    """Writes the folder of a shared model, in place of an earlier one.

    The earlier one stays until all of the new one is on the disk. Whenever the process dies, what
    `load` finds is the one, the other, or no model.

    Args:
      folder: is made if it is not there.
      model: to share.
      card: text of the model card.
      result: what was measured, where anything was.
      program: a serialised program that solves, where one is wanted.

    Raises:
      OSError: the folder holds something else, or cannot be written to.
    """
    check_output(folder)
    folder = run_folder.make(folder, "output")
    variables, table = jax.device_get(model.weights)
    parameters = models.export_published(variables | {"puzzle_embedding": {"table": table}})
    noted = json.dumps({"step": model.step, "origin": model.origin})
    settings = run_folder.settings(model.pieces.config, model.pieces.task)
    contents = {
        # One entry, because several would be written in any order.
        PARAMETERS: safetensors.numpy.save(parameters, {NOTED: noted}),
        CARD: card.encode(),
        run_folder.RESULT: run_folder.as_json(result).encode() if result else None,
        PROGRAM: program,
        run_folder.SETTINGS: run_folder.as_json(settings).encode(),
    }
    contents = {name: content for name, content in contents.items() if content is not None}
    for name, content in contents.items():
        (folder / f"{name}.tmp").write_bytes(content)
    for name in (run_folder.RESULT, PROGRAM, run_folder.SETTINGS):
        (folder / name).unlink(missing_ok=True)
    # The settings come last: without them there is no model.
    for name in contents:
        os.replace(folder / f"{name}.tmp", folder / name)


def check_output(folder: str | os.PathLike) -> None:
    """Checks that a model may be saved to a folder: there is none, or nothing but a model in it.

    Raises:
      FileExistsError: it holds something else.
    """
    folder = pathlib.Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"output {folder} is a file; name a folder")
    others = sorted(file.name for file in folder.iterdir() if file.suffix != ".tmp")
    if others and "step" not in _metadata(folder / PARAMETERS):
        raise FileExistsError(
            f"output {folder} holds other things ({', '.join(others[:3])}), which are left alone; "
            "name a new folder, or that of an earlier export"
        )


def _metadata(path: pathlib.Path) -> dict[str, Any]:
    """What `save` noted beside the parameters; nothing if it did not write them."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return json.loads((file.metadata() or {}).get(NOTED, "{}"))
    except (OSError, ValueError, safetensors.SafetensorError):
        return {}


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


def _placed(array: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    return place(np.asarray(array, like.dtype), like.sharding)


def _build(config: ml_collections.ConfigDict, task: Task) -> Experiment:
    # As many of the devices here as divide the batch; the run may have had others.
    here = config.copy_and_resolve_references()
    here.mesh = {"data": math.gcd(config.batch_size, jax.device_count())}
    try:
        return dataclasses.replace(experiment.build(here, task), config=config)
    except (KeyError, AttributeError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"the config is of another version of cgar_jax: {said}") from error


def _is_hub_name(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~"))


def _download(name: str) -> pathlib.Path:
    # Imported here because only this needs it.
    import huggingface_hub

    try:
        files = (PARAMETERS, "*.json")
        return pathlib.Path(huggingface_hub.snapshot_download(name, allow_patterns=files))
    except Exception as error:  # the library's errors have no base class in common
        raise ConnectionError(
            f"there is no folder {name}, and the hub did not give a model of that name "
            f"({type(error).__name__}); check the name and the network"
        ) from error
