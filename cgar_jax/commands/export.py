"""Shares a trained model: `cgar export --workdir=RUN --output=FOLDER [--stablehlo]`.

The folder is described in `cgar_jax.trained_model`, which loads it anywhere; with `--stablehlo` it
also has a program that solves puzzles without this package.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from jax import export as jax_export

from cgar_jax import runs as run_folder
from cgar_jax import trained_model as trained
from cgar_jax.commands import command_line
from cgar_jax.data import rules_of
from cgar_jax.recursion.thinking import Rows, attempt, empty_states, think
from cgar_jax.reporting.model_card import model_card
from cgar_jax.trained_model import Trained

PLATFORMS = ("cpu", "cuda", "tpu")


def export(source: str | os.PathLike, output: str | os.PathLike, stablehlo: bool = False) -> None:
    """Shares a model: parameters, config, model card, what was measured, and perhaps a program.

    Args:
      source: of the model, as for `cgar_jax.trained_model.load`; the newest checkpoint of a run,
        finished or not.
      output: folder to write, in place of an earlier export.
      stablehlo: whether to write `solve.stablehlo` too, see `program`.

    Raises:
      ValueError: as for `cgar_jax.trained_model.load` and `program`.
      OSError: there is no such model, or the output holds something else or cannot be written to.
    """
    trained.check_output(output)
    folder = trained.locate(source)
    model = trained.load(folder)
    result = run_folder.read_result(folder)
    if result and result.get("steps") != model.step:
        result = None  # of a checkpoint that is damaged now; an earlier one was loaded
    share(model, output, result, stablehlo)


def share(
    model: Trained,
    output: str | os.PathLike,
    result: Mapping[str, Any] | None = None,
    stablehlo: bool = False,
) -> None:
    """Writes the folder of a model, with its card.

    Args:
      model: to share.
      output: as for `export`.
      result: what was measured, as of `cgar_jax.commands.train`; None if nothing was.
      stablehlo: as for `export`.

    Raises:
      ValueError: as for `program`.
      OSError: the output holds something else or cannot be written to.
    """
    compiled = program(model).serialize() if stablehlo else None
    trained.save(output, model, model_card(model, result, stablehlo), result, compiled)


def program(model: Trained) -> jax_export.Exported:
    """A program that solves, with the weights in it: all supervision steps at full depth.

    It maps questions, tokens `int32 [batch, num_cells]`, to answers `int32 [batch, num_cells]` and
    halting probabilities `float32 [batch]`, for any batch, on each of `PLATFORMS`.

    Args:
      model: that solves.

    Raises:
      ValueError: the model knows no puzzle but those it was trained on, by their embeddings.
    """
    pieces = model.pieces
    rules_of(pieces.config.data.name)
    host_weights = jax.device_get(model.weights)

    def solve(questions):
        weights = jax.tree.map(jnp.asarray, host_weights)
        num = questions.shape[0]
        zeros = jnp.zeros(num, jnp.int32)
        rows = Rows(questions, zeros, zeros, zeros, zeros)
        depth, steps = pieces.curriculum.full_depth, pieces.config.supervision.max_supervision_steps
        states = empty_states(pieces.model, num)
        _, attempts = think(pieces.model, depth, steps, attempt, weights, states, rows)
        last = jax.tree.map(lambda by_step: by_step[-1], attempts)
        return last.answers.astype(jnp.int32), jax.nn.sigmoid(last.halt_logits)

    (batch,) = jax_export.symbolic_shape("batch")
    questions = jax.ShapeDtypeStruct((batch, pieces.task.sequence_length), jnp.int32)
    return jax_export.export(jax.jit(solve), platforms=PLATFORMS)(questions)


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
    export(values.workdir, values.output, values.stablehlo)
    print(report(values.output))
