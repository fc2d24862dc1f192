"""Measures thinking longer: `cgar rollouts --workdir=FOLDER --rollouts=1,4,16,64`.

Runs noisy rollouts on held-out puzzles and prints, for each number of rollouts and of supervision
steps, what share is solved and at what cost: if any rollout is right (pass), by the halting head's
choice, by majority, and with the rules of the puzzle as a verifier.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from cgar_jax import data
from cgar_jax import trained_model as trained
from cgar_jax.commands import command_line
from cgar_jax.evaluation.rollout_accuracy import (
    accuracies,
    mean_steps_to_verified,
    record,
    standard_error,
)
from cgar_jax.progress import progress_bar


def measure(
    model: trained.Trained,
    examples: dict[str, Any],
    rollouts: Sequence[int],
    steps: Sequence[int],
    noise: float,
    batch_size: int = 16,
    seed: int = 0,
    report: Any = lambda num_done: None,
) -> list[dict[str, float]]:
    """Accuracy and cost for each number of rollouts and of steps.

    Args:
      model: as from `cgar_jax.trained_model.load`.
      examples: of a `Dataset`.
      rollouts: numbers of rollouts for each puzzle.
      steps: numbers of supervision steps of each rollout.
      noise: standard deviation of what is added to the latent.
      batch_size: puzzles in one call.
      seed: of the noise.
      report: called with the number of puzzles that a call has done.

    Returns:
      For each pair `rollouts`, `steps`, what `accuracies` returns, `flops`, model FLOPs per puzzle,
      and `flops_until_verified`, if a puzzle ends with the first answer that obeys the rules.
    """
    pieces = model.pieces
    depth = pieces.curriculum.full_depth
    found = record(
        pieces.model,
        depth,
        model.weights,
        examples,
        model.accepts,
        num_steps=max(steps),
        num_rollouts=max(rollouts),
        noise=noise,
        batch_size=batch_size,
        seed=seed,
        report=report,
    )
    calls = depth.T * (depth.n + 1)
    step_flops = calls * pieces.model.network_flops() + pieces.model.heads_flops()
    return [
        {
            "rollouts": num_rollouts,
            "steps": num_steps,
            **accuracies(found, num_steps, num_rollouts),
            "flops": num_rollouts * num_steps * step_flops,
            "flops_until_verified": step_flops
            * mean_steps_to_verified(found, num_steps, num_rollouts),
        }
        for num_rollouts in rollouts
        for num_steps in steps
    ]


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
    model = trained.load(values.workdir)
    config = model.pieces.config
    steps = [config.supervision.max_supervision_steps]
    if values.steps:
        steps = _numbers("steps", values.steps)
    if values.data:
        examples = data.read_examples(values.data, config.data.name)
        model.check_size(examples, values.data)
    else:
        examples = data.load(config.data).test
    examples = {name: column[: values.num_puzzles or None] for name, column in examples.items()}
    num = len(examples["inputs"])
    with progress_bar() as progress:
        bar = progress.add_task("rollouts", total=num)
        rows = measure(
            model,
            examples,
            rollouts,
            steps,
            values.noise,
            values.batch_size,
            values.seed,
            lambda num_done: progress.advance(bar, num_done),
        )
    Console().print(table(rows, num))
    if values.output:
        folder = pathlib.Path(values.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rollouts.json").write_text(json.dumps(rows, indent=2) + "\n")
        # Imported here because only this needs it.
        from cgar_jax.reporting import pictures

        pictures.accuracy_by_rollouts(rows).savefig(folder / "rollouts.png", dpi=130)


def _numbers(name: str, texts: Sequence[str]) -> list[int]:
    if not all(text.strip().isdigit() and int(text) > 0 for text in texts):
        raise ValueError(f"--{name} is {','.join(texts)!r}; expected numbers from 1, as 1,4,16")
    return [int(text) for text in texts]
