"""Exports a trained model as a folder that others can load with `cgar_jax.load`.

The folder holds the averaged parameters of the newest checkpoint under the names of the published
PyTorch code, the config, the result and a model card. With `--stablehlo` it also holds a program
that solves puzzles with JAX only, without this package.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from cgar_jax import model_files, model_loading, trained_model
from cgar_jax.commands import command_line
from cgar_jax.progress import Status

REQUIRED = ("workdir", "output")
EXAMPLES = ("cgar export --workdir=latest --output=shared_model --stablehlo",)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_workdir()
    define_output_flags()


def define_output_flags() -> None:
    """Defines the flags that `export` reads; `cgar convert` has them too."""
    command_line.define_path(
        "output", "folder to write; an earlier export of the same run in it is replaced"
    )
    flags.DEFINE_bool("overwrite", False, "replace another model in the folder")
    flags.DEFINE_bool("stablehlo", False, "also write a program that needs only JAX")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    model_files.check_output(values.output)  # fails before the slow part
    with Status() as status:
        status.update("loading the model")
        export(model_loading.load(values.workdir), values, status)


def export(model: trained_model.TrainedModel, values: flags.FlagValues, status: Status) -> None:
    """Writes the folder of a model, and prints the sizes of its files."""
    status.update("writing the model")
    model.export(values.output, values.stablehlo, values.overwrite)
    files = sorted(file for file in pathlib.Path(values.output).iterdir() if file.is_file())
    lines = [f"  {file.name:<20}{file.stat().st_size / 1e6:>10,.3f} MB" for file in files]
    print("\n".join([f"the folder {values.output} holds", *lines]))
