"""Serves a web page to play with a trained model, to this machine only.

Without `--workdir`, it shows the Sudoku model that comes with the package. A visitor types, pastes
or draws a puzzle and watches the answer change from one supervision step to the next, or the
candidates disappear from one pass to the next.
"""

from collections.abc import Sequence

from absl import flags

from cgar_jax import model_files, model_loading, runs
from cgar_jax.commands import command_line
from cgar_jax.data import rules_of
from cgar_jax.demo import page
from cgar_jax.demo.demonstration import prepare
from cgar_jax.progress import Status

EXAMPLES = ("cgar demo", "cgar demo --workdir=latest")


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_workdir()
    flags.DEFINE_integer("port", 7860, "port of the page on 127.0.0.1", 1, 65_535)
    flags.DEFINE_integer(
        "num_rollouts",
        8,
        "number of rollouts of the mode 'rollouts'; all but the first have noise",
        1,
    )
    flags.DEFINE_float("noise", 0.3, "standard deviation of the noise added to the latent state")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command; returns when it is stopped."""
    folder = model_files.locate(values.workdir or model_files.PRETRAINED)
    rules_of(runs.read_settings(folder)[0].data.name)  # fails before the slow parts
    page.check_port(values.port)
    page.require_gradio()
    with Status() as status:
        status.update("loading the model")
        model = model_loading.load(folder)
        demonstration = prepare(model, values.num_rollouts, values.noise)
        status.update("compiling the model")
        opening = demonstration.warm_up()
    page.serve(demonstration, opening, values.port)
