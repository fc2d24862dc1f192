"""Measures thinking longer: `cgar rollouts --workdir=FOLDER --rollouts=1,4,16,64`.

Runs noisy rollouts on held-out puzzles and prints, for each number of rollouts and of supervision
steps, what share is solved and at what cost: if any rollout is right (pass), by the halting head's
choice, by majority, and with the rules of the puzzle as a verifier.
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags
from rich.console import Console
from rich.table import Table

from cgar_jax import data, trained_model
from cgar_jax.commands import command_line
from cgar_jax.evaluation import RolloutOptions
from cgar_jax.evaluation.rollout_accuracy import accuracy_and_cost, record, standard_error
from cgar_jax.progress import progress_bar
from cgar_jax.reporting import pictures


def table(rows: Sequence[dict[str, float]], num_puzzles: int) -> Table:
    """The rows of `measure`, in words."""
    worst = max(standard_error(row["pass"], num_puzzles) for row in rows)
    columns = ("rollouts", "steps", "pass", "halting", "majority", "verified")
    shown = Table(
        *columns,
        "MFLOPs",
        "stopped",
        title=f"{num_puzzles:,} puzzles; standard error up to {worst:.1%}",
        caption="model FLOPs a puzzle: all of it, and if stopped once verified",
    )
    for row in rows:
        shares = (f"{row[name]:.1%}" for name in columns[2:])
        costs = (f"{row[name] / 1e6:,.0f}" for name in ("flops", "flops_until_verified"))
        shown.add_row(str(row["rollouts"]), str(row["steps"]), *shares, *costs)
    return shown


REQUIRED = ("workdir",)
EXAMPLES = ("cgar rollouts --workdir=latest --rollouts=1,4,16 --steps=8,32 --noise=1",)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_workdir()
    command_line.define_path("data", "CSV file of puzzles; by default the run's test split")
    flags.DEFINE_integer("num_puzzles", 200, "How many of them at most, the first ones; 0 is all.")
    flags.DEFINE_list("rollouts", ["1", "4", "16"], "Numbers of rollouts for each puzzle.")
    flags.DEFINE_list("steps", None, "Numbers of supervision steps; by default as in training.")
    flags.DEFINE_float("noise", 0.3, "Standard deviation of what is added to the latent.")
    flags.DEFINE_integer("batch_size", 16, "Puzzles in one call, each with all its rollouts.")
    flags.DEFINE_integer("seed", 0, "Of the noise.")
    command_line.define_path("output", "folder for rollouts.json and rollouts.png")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """The command."""
    rollouts = _numbers("rollouts", values.rollouts)
    model = trained_model.load(values.workdir)
    config = model.config
    steps = [config.supervision.max_supervision_steps]
    if values.steps:
        steps = _numbers("steps", values.steps)
    own = values.data is None
    examples = data.load(config.data).test if own else model.read_examples(values.data)
    examples = {name: column[: values.num_puzzles or None] for name, column in examples.items()}
    num = len(examples["inputs"])
    options = RolloutOptions(max(rollouts), values.noise, values.batch_size, values.seed)
    reasoner = model.reasoner.with_supervision_steps(max(steps))
    with progress_bar() as progress:
        bar = progress.add_task("rollouts", total=num)
        found = record(
            reasoner,
            model.params,
            examples,
            model.accepts,
            options,
            lambda num_done: progress.advance(bar, num_done),
        )
    rows = accuracy_and_cost(reasoner, found, rollouts, steps)
    Console().print(table(rows, num))
    if values.output:
        folder = pathlib.Path(values.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rollouts.json").write_text(json.dumps(rows, indent=2) + "\n")
        pictures.accuracy_by_rollouts(rows).savefig(folder / "rollouts.png", dpi=130)


def _numbers(name: str, texts: Sequence[str]) -> list[int]:
    if not all(text.strip().isdigit() and int(text) > 0 for text in texts):
        raise ValueError(f"--{name} is {','.join(texts)!r}; expected numbers from 1, as 1,4,16")
    return [int(text) for text in texts]
