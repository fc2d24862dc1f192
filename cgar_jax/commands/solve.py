"""Solves puzzles with a trained model: `cgar solve --workdir=FOLDER PUZZLE...`.

A PUZZLE is a file, `-` for the standard input, or the puzzle itself. Files have one puzzle on a
line or drawn in several lines, or are CSV with a column `question`. Every answer is checked against
the rules of its puzzle, and one that breaks them is never printed as solved. The exit code is 3 if
any puzzle is left unsolved.
"""

import contextlib
import csv
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from absl import flags

from cgar_jax import model_files, runs, trained_model
from cgar_jax.commands import command_line
from cgar_jax.data import Questions, Rules, read_questions, rules_of
from cgar_jax.evaluation.solver import CHOICES, STOPS, Solution
from cgar_jax.progress import progress_bar

UNSOLVED = 3  # the exit code
COMMAND_LINE = "command line"


def read(arguments: Sequence[str], family: Rules, num_cells: int) -> Questions:
    """The puzzles that a command line names.

    Raises:
      ValueError: one of them is wrong, or there is none; the message says where.
      FileNotFoundError: an argument is neither a file nor a puzzle.
    """
    if not arguments:
        raise ValueError("no puzzle; give a file, - for the standard input, or the puzzle itself")
    found = []
    for one in arguments:
        text, where = _text_of(one)
        try:
            found.append(read_questions(text, family, num_cells, where))
        except ValueError as error:
            hint = f" (and there is no file {one[:100]!r})" if where == COMMAND_LINE else ""
            raise ValueError(f"{error}{hint}") from None
    return Questions.join(found)


def _text_of(argument: str) -> tuple[str, str]:
    """The text that an argument means, and what to call it."""
    if argument == "-":
        return sys.stdin.read(), "standard input"
    if len(argument) < 256 and (path := pathlib.Path(argument)).is_file():
        try:
            return path.read_text(encoding="utf-8-sig"), argument
        except UnicodeDecodeError as error:
            raise ValueError(f"{argument} is not a text in UTF-8 ({error})") from None
    if pathlib.PurePath(argument).suffix in (".txt", ".csv") or argument.count("/"):
        raise FileNotFoundError(f"there is no file {argument}")
    return argument.replace("\\n", "\n"), COMMAND_LINE


class Printer:
    """Tells of solutions in the order of the puzzles, on paper and in a CSV file."""

    def __init__(
        self,
        questions: Questions,
        family: Rules,
        show_attempt: bool,
        file: TextIO | None,
    ):
        """`file` is written too, where it is given."""
        self._questions, self._family = questions, family
        self._show_attempt = show_attempt
        self._waiting: dict[int, Solution] = {}
        self._told = 0
        self.num_solved = 0
        self._csv = csv.writer(file, lineterminator="\n") if file else None
        if self._csv:
            self._csv.writerow(COLUMNS)

    def add(self, number: int, solution: Solution) -> None:
        """Tells of a solution as soon as it has told of all before it."""
        self._waiting[number] = solution
        while self._told in self._waiting:
            self._tell(self._told, self._waiting.pop(self._told))
            self._told += 1

    def _tell(self, number: int, solution: Solution) -> None:
        self.num_solved += solution.verified
        draw, steps = self._family.draw, solution.supervision_steps
        took = f"after {steps} supervision step{'' if steps == 1 else 's'}"
        lines = [f"{self._questions.places[number]}: {{}} {took}"]
        if solution.verified:
            lines = [lines[0].format("verified"), draw(solution.answer)]
        else:
            lines = [lines[0].format("not solved")]
            if self._show_attempt:
                question = self._questions.tokens[number]
                fault = self._family.answer_faults(question[None], solution.answer[None])[0]
                lines += [f"best attempt, which is wrong: it {fault}"]
                lines += ["? " + line for line in draw(solution.answer).splitlines()]
        if self._questions.remarks[number]:
            lines.insert(1, f"note: {self._questions.remarks[number]}")
        print("\n".join(lines) + "\n", flush=True)
        if self._csv:
            self._csv.writerow(self._row(number, solution))

    def _row(self, number: int, solution: Solution) -> list[Any]:
        told = solution.verified or self._show_attempt
        return [
            self._questions.places[number],
            self._family.to_text(self._questions.tokens[number]),
            self._family.to_text(solution.answer) if told else "",
            int(solution.verified),
            solution.supervision_steps,
            f"{solution.halting_probability:.4f}",
        ]


COLUMNS = ("source", "question", "answer", "verified", "supervision_steps", "halting_probability")


ARGUMENTS = "PUZZLE..."
REQUIRED = ("workdir",)
EXAMPLES = (
    "cgar solve --workdir=latest puzzles.txt",
    "cgar solve --workdir=latest ...342..25.6.5.6.....43514.2.3.2.16.",
)


def define_flags() -> None:
    """Defines those of the command."""
    command_line.define_workdir()
    flags.DEFINE_integer(
        "max_supervision_steps", None, "Budget of each rollout; by default as in training."
    )
    flags.DEFINE_integer("num_rollouts", 1, "Noisy runs for each puzzle, the first one plain.")
    flags.DEFINE_integer(
        "budget", None, "Supervision steps for each puzzle in all, instead of num_rollouts."
    )
    flags.DEFINE_float("noise", 0.3, "Standard deviation of what is added to the latent.")
    flags.DEFINE_enum("stop", "verified", STOPS, "When a puzzle is done before its budget.")
    flags.DEFINE_enum("choose", "halting", CHOICES, "Which attempt is best if none is verified.")
    flags.DEFINE_integer("batch_size", 64, "Puzzles at work at once.")
    flags.DEFINE_integer("seed", 0, "Of the noise.")
    flags.DEFINE_bool("show_attempt", False, "Show the best attempt where no answer is right.")
    command_line.define_path("output", "CSV file to write the answers to as well")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    folder = model_files.locate(values.workdir)
    config, task = runs.read_settings(folder)
    family = rules_of(config.data.name)
    questions = read(arguments, family, task.sequence_length)  # before the slow part
    steps = values.max_supervision_steps or config.supervision.max_supervision_steps
    solver = trained_model.load(folder).solver(
        max_supervision_steps=steps,
        num_rollouts=max(values.budget // steps, 1) if values.budget else values.num_rollouts,
        noise=values.noise,
        stop=values.stop,
        choose=values.choose,
        batch_size=values.batch_size,
        seed=values.seed,
    )
    num, begin = len(questions.tokens), time.perf_counter()
    with contextlib.ExitStack() as opened:
        output = values.output and opened.enter_context(open(values.output, "w", newline=""))
        progress = opened.enter_context(progress_bar())
        bar = progress.add_task("solving", total=num)
        printer = Printer(questions, family, values.show_attempt, output)
        for number, solution in solver.each(questions.tokens):
            printer.add(number, solution)
            progress.advance(bar)
    seconds = time.perf_counter() - begin
    print(
        f"{printer.num_solved:,} of {num:,} solved in {seconds:.1f} s, compilation included",
        file=sys.stderr,
    )
    return 0 if printer.num_solved == num else UNSOLVED
