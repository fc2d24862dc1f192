"""Measures how accuracy grows with more supervision steps and more rollouts.

The command runs rollouts of held-out puzzles, which differ by noise, or by the symmetric copy of
the puzzle that they work on (--views). For each number of rollouts and of supervision steps it
prints the cost and the share of solved puzzles, for six ways to choose an answer: any right rollout
(pass), the highest halting logit (halting), the first rollout that halts (first), the most frequent
answer (majority), the rollout that moved least in its last three steps (residual), or an answer
that obeys the rules of the puzzle (verified).
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cgar_jax import model_loading
from cgar_jax.commands import command_line
from cgar_jax.evaluation import RolloutOptions
from cgar_jax.evaluation.rollout_accuracy import CHOICES, standard_error
from cgar_jax.progress import Status

REQUIRED = ("workdir",)
GROUPS = {
    "Puzzles": ("data", "num_puzzles"),
    "Rollouts": ("rollouts", "steps", "noise", "views", "seed", "batch_size"),
}
EXAMPLES = (
    "cgar rollouts --workdir=latest --rollouts=1,4,16 --steps=8,32 --noise=1",
    "cgar rollouts --workdir=latest --rollouts=1,8 --views",
    "cgar rollouts --workdir=latest --data=hard.csv --num_puzzles=0 --output=rollouts",
)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_workdir()
    command_line.define_path("output", "folder for rollouts.json and the picture rollouts.png")
    command_line.define_path("data", "CSV file of puzzles; by default the run's test split")
    flags.DEFINE_integer("num_puzzles", 200, "use only the first N puzzles; 0 means all")
    flags.DEFINE_list("rollouts", ["1", "4", "16"], "numbers of rollouts per puzzle")
    flags.DEFINE_list(
        "steps", None, "numbers of supervision steps per rollout; by default that of training"
    )
    flags.DEFINE_float("noise", 0.3, "standard deviation of the noise in the latent state")
    flags.DEFINE_bool(
        "views", False, "let further rollouts work on symmetric copies of a puzzle, without noise"
    )
    flags.DEFINE_integer("seed", 0, "random seed for noise and copies")
    flags.DEFINE_integer("batch_size", 16, "number of puzzles in a batch, with all rollouts")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    rollouts = parse_numbers("rollouts", values.rollouts)
    steps = parse_numbers("steps", values.steps) if values.steps else None
    with Status() as status:
        status.update("loading the model")
        model = model_loading.load(values.workdir)
        symmetries = model.symmetries if values.views else None
        options = RolloutOptions(1, values.noise, values.batch_size, values.seed, symmetries)
        steps = steps or [model.reasoner.supervision_steps]
        status.update("loading puzzles")
        examples = model.read_examples(values.data)
        examples = {name: column[: values.num_puzzles or None] for name, column in examples.items()}
        num = len(examples["inputs"])
        on_progress = status.counter("running rollouts of puzzles", num)
        rows = model.rollout_accuracy(examples, rollouts, steps, options, on_progress)
    Console().print(*tables(rows, num))
    if values.output:
        write(rows, pathlib.Path(values.output))


def parse_numbers(name: str, texts: Sequence[str]) -> list[int]:
    """Parses the value of a flag that is a list of positive numbers.

    Raises:
      ValueError: if the list contains anything else.
    """
    if not all(text.strip().isdigit() and int(text) > 0 for text in texts):
        found = ",".join(texts)
        raise ValueError(f"--{name} is {found!r}; expected positive numbers, such as 1,4,16")
    return [int(text) for text in texts]


def tables(rows: Sequence[dict[str, float]], num_puzzles: int) -> tuple[Table, Table]:
    """Returns tables of the accuracies and costs in the rows of `TrainedModel.rollout_accuracy`."""
    worst = max(standard_error(row["pass"], num_puzzles) for row in rows)
    title = f"{num_puzzles:,} puzzles; standard error up to {worst:.1%}"
    headings = [choice.split("_")[0] for choice in CHOICES]
    solved = Table("rollouts", "steps", *headings, title=title, box=SIMPLE_HEAD)
    costs = {
        "all": "flops",
        "until one halts": "flops_until_halted",
        "until one is verified": "flops_until_verified",
    }
    spent = Table(*("rollouts", "steps", *costs), title="model MFLOPs per puzzle", box=SIMPLE_HEAD)
    for row in rows:
        size = str(row["rollouts"]), str(row["steps"])
        solved.add_row(*size, *(f"{row[choice]:.1%}" for choice in CHOICES))
        spent.add_row(*size, *(f"{row[cost] / 1e6:,.0f}" for cost in costs.values()))
    return solved, spent


def write(rows: Sequence[dict[str, float]], folder: pathlib.Path) -> None:
    """Writes the rows as JSON and as a picture."""
    from cgar_jax.reporting import pictures  # needs the extra [report]

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows, indent=2) + "\n"
    (folder / "rollouts.json").write_text(text, encoding="utf-8")
    pictures.accuracy_by_rollouts(rows).savefig(folder / "rollouts.png", dpi=130)
