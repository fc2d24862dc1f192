"""The command of the page: `python -m cgar_jax.demo --workdir=FOLDER`; on this machine only."""

from absl import flags

from cgar_jax import runs as run_folder
from cgar_jax import trained_model as trained
from cgar_jax.commands import runner as command
from cgar_jax.data import rules_of
from cgar_jax.demo import page
from cgar_jax.demo.asking import Demonstration


def define_flags() -> None:
    """Defines those of the command."""
    flags.DEFINE_string("workdir", None, "Folder of the run or shared model, or its hub name.")
    flags.DEFINE_integer("port", 7860, "Of the page, on 127.0.0.1.", 1, 65_535)
    flags.DEFINE_integer("num_rollouts", 8, "Noisy runs to compare with, the first one plain.", 1)
    flags.DEFINE_float("noise", 0.3, "Standard deviation of what is added to the latent.")


def main(values: flags.FlagValues) -> None:
    """The command; returns when it is stopped."""
    folder = trained.locate(values.workdir)
    rules_of(run_folder.read_settings(folder)[0].data.name)  # before the slow parts
    page.check_port(values.port)
    page.require_gradio()
    demonstration = Demonstration(
        trained.load(folder), num_rollouts=values.num_rollouts, noise=values.noise
    )
    print("compiling; the page is there in a moment", flush=True)
    demonstration.warm_up()
    page.serve(demonstration, values.port)


if __name__ == "__main__":
    command.main(define_flags, main, required=["workdir"])
