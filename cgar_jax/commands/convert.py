"""Converts a published PyTorch checkpoint to the folder of a model that the other commands load.

CHECKPOINT is a state dict that torch saved, or a `.safetensors` file. The config describes
what the file does not contain: the settings of the model, its depth and its data.
"""

from collections.abc import Sequence

from absl import flags

from cgar_jax import model_files, model_loading
from cgar_jax.commands import command_line
from cgar_jax.commands.export import define_output_flags, export
from cgar_jax.progress import Status

ARGUMENTS = "CHECKPOINT"
REQUIRED = ("config", "output")
EXAMPLES = ("cgar convert step_65100 --config=sudoku_extreme:trm --output=trm_sudoku",)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_config("name or path of the config of the model and its data")
    define_output_flags()


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    if len(arguments) != 1:
        raise ValueError(f"expected one CHECKPOINT, found {len(arguments)}: {list(arguments)}")
    model_files.check_output(values.output)  # fails before the slow part
    with Status() as status:
        status.update("reading the checkpoint")
        export(model_loading.convert(arguments[0], values.config), values, status)
