"""Converts a published PyTorch checkpoint into a shared model, which the other commands take.

    cgar convert CHECKPOINT --config=configs/sudoku_extreme.py --output=FOLDER

CHECKPOINT is a state dict saved by torch, or the same as `.safetensors`. The config tells what the
file does not: the settings of its model, its depth and its data.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import ml_collections
from absl import flags

from cgar_jax import data, model_files, models, trained_model
from cgar_jax.commands import command_line
from cgar_jax.commands.export import define_output_flags, report
from cgar_jax.data import rules_of
from cgar_jax.experiment import Task
from cgar_jax.models.published import PUZZLE_TABLE


def convert(
    checkpoint: str | os.PathLike,
    config: ml_collections.ConfigDict,
    output: str | os.PathLike,
    stablehlo: bool = False,
) -> None:
    """Writes the folder of a shared model with the parameters of a published checkpoint.

    The puzzle table may have any number of rows.

    Args:
      checkpoint: a file, see `cgar_jax.models.read_published`.
      config: as `cgar_jax.config.default_config`.
      output: folder to write, in place of an earlier export.
      stablehlo: whether to write a program too, see `cgar_jax.commands.export.program`.

    Raises:
      ValueError: the file is damaged, or a parameter is not that of the config's model, it is
        named; or the model is one of puzzles with embeddings, whose order in the file only its own
        data set knows.
      OSError: there is no such file, or the output holds something else or cannot be written to.
    """
    model_files.check_output(output)
    rules_of(config.data.name)
    parameters = models.read_published(checkpoint)
    expected = data.expected(config.data)
    rows = len(parameters.get(PUZZLE_TABLE, [None]))
    task = Task(expected.vocab_size, expected.sequence_length, num_puzzle_identifiers=rows)
    model = trained_model.from_published(parameters, config, task)
    model = dataclasses.replace(model, origin=pathlib.Path(checkpoint).name)
    model.export(output, stablehlo)


ARGUMENTS = "CHECKPOINT"
REQUIRED = ("config", "output")
EXAMPLES = ("cgar convert step_65100 --config=sudoku_extreme:trm --output=trm_sudoku",)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_config()
    define_output_flags()


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """The command."""
    if len(arguments) != 1:
        raise ValueError(f"expected one CHECKPOINT, not {len(arguments)}: {arguments}")
    convert(arguments[0], values.config, values.output, values.stablehlo)
    print(report(values.output))
