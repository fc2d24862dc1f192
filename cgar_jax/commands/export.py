"""Shares a trained model: `cgar export --workdir=RUN --output=FOLDER [--stablehlo]`.

The folder is described in `cgar_jax.model_files`; `cgar_jax.load` reads it anywhere. With
`--stablehlo` it also has a program that solves puzzles without this package.
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from cgar_jax import model_files, trained_model
from cgar_jax.commands import command_line


def report(output: str | os.PathLike) -> str:
    """What a folder that was written holds, in one line for each file."""
    files = sorted(file for file in pathlib.Path(output).iterdir() if file.is_file())
    lines = [f"  {file.name:<20}{file.stat().st_size / 1e6:>10,.3f} MB" for file in files]
    return "\n".join([f"{output} holds", *lines])


REQUIRED = ("workdir", "output")
EXAMPLES = ("cgar export --workdir=latest --output=shared_model --stablehlo",)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_workdir()
    define_output_flags()


def define_output_flags() -> None:
    """Defines those that `cgar_jax.commands.convert` has too."""
    command_line.define_path("output", "folder to write")
    flags.DEFINE_bool("stablehlo", False, "Write a program that needs JAX alone, too.")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """The command."""
    model_files.check_output(values.output)  # before the slow part
    trained_model.load(values.workdir).export(values.output, values.stablehlo)
    print(report(values.output))
