"""Solves puzzles with a trained model and verifies every answer by the rules of the puzzle.

Without `--workdir`, the model that comes with the package solves Sudokus of 9x9 cells, or of
another `--size`.

A PUZZLE is a file, `-` for the standard input, or the puzzle itself. A file has one puzzle per
line, or puzzles drawn in several lines or written as lists, or is a table with a column `question`
or `puzzle`: CSV, JSON Lines or Parquet. It may be compressed. Bad puzzles are an error that lists
all of them; with `--skip_bad` they are listed and left out. An answer that breaks the rules is
never printed as solved. The exit code is 3 if any puzzle is left unsolved, and 74 if the answers
could not be written, for example to a full disk.

With `--json`, each line of the output is one JSON object with the keys `question`, `answer` (null
if the puzzle is not solved), `verified`, `supervision_steps` or `passes`, `source` and `line`.
"""

import contextlib
import csv
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, BinaryIO, TextIO

from absl import flags

from cgar_jax import model_files, model_loading, runs, trained_model
from cgar_jax.commands import command_line, console
from cgar_jax.data import Questions, Rules, read_questions, rules_of
from cgar_jax.evaluation import Proof, Search
from cgar_jax.evaluation.solver import CHOICES, STOPS, Solution, Solver
from cgar_jax.progress import Status
from cgar_jax.recursion import CandidateReasoner

ARGUMENTS = "PUZZLE..."
GROUPS = {
    "Output": ("output", "json", "quiet", "show_attempt"),
    "Thinking longer": (
        "max_supervision_steps",
        "num_rollouts",
        "budget",
        "seconds",
        "noise",
        "views",
        "seed",
    ),
    "Details": ("size", "stop", "choose", "batch_size"),
}
EXAMPLES = (
    "cgar solve puzzles.txt",
    "cgar solve --workdir=latest puzzles.txt",
    "cgar solve --workdir=latest ...342..25.6.5.6.....43514.2.3.2.16.",
    "cgar solve --workdir=latest --num_rollouts=16 --json - <puzzles.txt >answers.jsonl",
)

UNSOLVED = 3  # the exit code
COMMAND_LINE = "command line"
_FILE_NAME = re.compile(
    r".*\.(txt|csv|tsv|sdk|sdm|ss|json|jsonl|parquet|gz|zst|bz2|xz|zip)", re.IGNORECASE
)
COLUMNS = (
    "source",
    "question",
    "answer",
    "verified",
    "supervision_steps",
    "halting_probability",
    "passes",
)
_UNITS = {
    "supervision_steps": ("supervision step", "supervision steps"),
    "passes": ("pass", "passes"),
}
# Flags that apply only to models which were trained by deep supervision.
_DEEP_FLAGS = (
    *("max_supervision_steps", "num_rollouts", "noise", "views"),
    *("stop", "choose", "show_attempt"),
)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_workdir()
    command_line.define_path("output", "CSV file to write the answers to as well")
    flags.DEFINE_bool("skip_bad", False, "leave out bad puzzles, and list them")
    flags.DEFINE_bool("json", False, "print one JSON object per puzzle")
    flags.DEFINE_bool("quiet", False, "print the summary only")
    flags.DEFINE_bool("show_attempt", False, "show the best attempt if no answer is right")
    flags.DEFINE_integer(
        "max_supervision_steps",
        None,
        "largest number of supervision steps of a rollout; by default that of training",
    )
    flags.DEFINE_integer("num_rollouts", 1, "number of rollouts per puzzle; the first has no noise")
    flags.DEFINE_integer(
        "budget",
        None,
        "supervision steps per puzzle over all rollouts, which replaces --num_rollouts; for models "
        "that eliminate candidates, passes per puzzle, by default 1000",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "seconds",
        None,
        "seconds for all puzzles, after which the rest is left unsolved; for models that eliminate "
        "candidates",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "size",
        None,
        "rows and columns of the puzzles, if not as in training; only for models whose parameters "
        "fit every size",
        lower_bound=1,
    )
    flags.DEFINE_float("noise", 0.3, "standard deviation of the noise in the latent state")
    flags.DEFINE_bool(
        "views", False, "let further rollouts work on symmetric copies of a puzzle, without noise"
    )
    flags.DEFINE_integer("seed", 0, "random seed for noise and copies")
    flags.DEFINE_enum("stop", "verified", STOPS, "condition that ends a puzzle before its budget")
    flags.DEFINE_enum("choose", "halting", CHOICES, "choice among rollouts if none is verified")
    flags.DEFINE_integer("batch_size", 64, "number of puzzles in a batch")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    if values.json and values.quiet:
        raise ValueError("--json and --quiet exclude each other")
    places = [find_puzzles(argument) for argument in arguments]
    if not places:
        raise ValueError("no puzzle; give a file, - for the standard input, or the puzzle itself")
    # On a terminal, an animation would break the lines that are printed meanwhile.
    with Status(animated=values.quiet or not sys.stdout.isatty()) as status:
        status.update("reading puzzles")
        folder = model_files.locate(values.workdir or model_files.PRETRAINED)
        config, task = runs.read_settings(folder)
        # A bad puzzle is reported before the model is loaded.
        rules = rules_of(config.data.name)
        num_cells = values.size**2 if values.size else task.sequence_length
        questions = read(places, rules, num_cells, values.skip_bad)
        status.update("loading the model")
        model = model_loading.load(folder).for_cells(num_cells)
        solver = make_solver(values, model)
        begin = time.perf_counter()
        advance = status.counter("solving puzzles", len(questions.tokens))
        with contextlib.ExitStack() as opened:
            printer = Printer(questions, rules, values.show_attempt)
            if not values.quiet:
                printer.outputs.append(printer.print_json if values.json else printer.print_text)
            if values.output:
                file = opened.enter_context(open(values.output, "w", encoding="utf-8", newline=""))
                printer.outputs.append(CsvWriter(printer, file))
            for number, solution in solver.each(questions.tokens):
                printer.add(number, solution)
                advance(1)
                if not values.output and console.reader_has_left():
                    return 0
    seconds = time.perf_counter() - begin
    print(
        f"{printer.num_solved:,} of {len(questions.tokens):,} solved in {seconds:.1f} s, "
        "including compilation",
        file=sys.stdout if values.quiet else sys.stderr,
    )
    if not values.output and console.output_fault():
        return os.EX_IOERR  # nobody has the answers
    return 0 if printer.num_solved == len(questions.tokens) else UNSOLVED


def make_solver(values: flags.FlagValues, model: trained_model.TrainedModel) -> Solver | Search:
    """Makes the solver or the search that the flags describe."""
    if isinstance(model.reasoner, CandidateReasoner):
        chosen = [name for name in _DEEP_FLAGS if values[name].present > 0]
        if chosen:
            raise ValueError(
                f"--{chosen[0]} does not apply to this model, which searches by eliminating "
                "candidates; use --budget, --seconds, --batch_size and --seed"
            )
        given = {name: values[name].value for name in ("budget", "seconds")}
        limits = {name: limit for name, limit in given.items() if limit is not None}
        return model.solver(batch_size=values.batch_size, seed=values.seed, **limits)
    if values.seconds is not None:
        raise ValueError("--seconds applies only to models that eliminate candidates; use --budget")
    steps = values.max_supervision_steps or model.reasoner.supervision_steps
    return model.solver(
        max_supervision_steps=steps,
        num_rollouts=max(values.budget // steps, 1) if values.budget else values.num_rollouts,
        noise=values.noise,
        views=values.views,
        stop=values.stop,
        choose=values.choose,
        batch_size=values.batch_size,
        seed=values.seed,
    )


def find_puzzles(argument: str) -> tuple[str | os.PathLike | BinaryIO, str]:
    """Returns the text, path or open file that an argument names, and the name of its source.

    Raises:
      FileNotFoundError: if the argument is neither a file nor a puzzle.
    """
    if argument == "-":
        if sys.stdin is None:
            raise ValueError("standard input is closed")
        return sys.stdin.buffer, "standard input"
    path = pathlib.Path(argument).expanduser()
    if len(argument) < 256 and path.exists():
        return path, argument
    if _FILE_NAME.fullmatch(argument) or "/" in argument:
        raise FileNotFoundError(f"there is no file {argument}")
    return argument.replace("\\n", "\n"), COMMAND_LINE


def read(
    places: Sequence[tuple[str | os.PathLike | BinaryIO, str]],
    rules: Rules,
    num_cells: int,
    skip_bad: bool,
) -> Questions:
    """Reads the puzzles that the arguments name.

    Args:
      places: results of `find_puzzles`.
      rules: rules of the puzzle family.
      num_cells: number of cells of each puzzle.
      skip_bad: whether bad puzzles are left out.

    Raises:
      ValueError: if a puzzle is malformed; the message names its source and line.
    """
    found = []
    for puzzles, source in places:
        try:
            found.append(read_questions(puzzles, rules, num_cells, source, skip_bad))
        except ValueError as error:
            if source != COMMAND_LINE:
                raise
            raise ValueError(f"{error} (and there is no file {puzzles[:100]!r})") from None
    return Questions.join(found)


class Printer:
    """Passes solutions to outputs in the order of the puzzles.

    Attributes:
      outputs: functions of the number of a puzzle and its solution.
      num_solved: number of verified answers so far.
    """

    def __init__(self, questions: Questions, rules: Rules, show_attempt: bool):
        """Prepares to print.

        Args:
          questions: the puzzles.
          rules: the rules of the puzzles.
          show_attempt: whether to show answers that break the rules, marked as such.
        """
        self.questions, self.rules, self.show_attempt = questions, rules, show_attempt
        self.outputs, self.num_solved = [], 0
        self._waiting: dict[int, Solution | Proof] = {}
        self._next = 0

    def add(self, number: int, solution: Solution | Proof) -> None:
        """Takes a solution, and passes on those whose predecessors have all been passed on."""
        self._waiting[number] = solution
        while self._next in self._waiting:
            found = self._waiting.pop(self._next)
            self.num_solved += found.verified
            for output in self.outputs:
                output(self._next, found)
            self._next += 1

    def question_text(self, number: int) -> str:
        """Returns a puzzle as text."""
        return self.rules.to_text(self.questions.tokens[number])

    def print_text(self, number: int, solution: Solution | Proof) -> None:
        """Prints a solution as text."""
        (unit, count), place = _cost(solution), self.questions.places[number]
        took = f"after {count} {_UNITS[unit][count != 1]}"
        lines = [f"{place}: {'verified' if solution.verified else 'not solved'} {took}"]
        if self.questions.remarks[number]:
            lines.append(f"note: {self.questions.remarks[number]}")
        if solution.verified:
            lines.append(self.rules.draw(solution.answer))
        elif self.show_attempt and solution.answer is not None:
            question = self.questions.tokens[number]
            fault = self.rules.answer_faults(question[None], solution.answer[None])[0]
            lines.append(f"best attempt, which is wrong: it {fault}")
            lines += ["? " + line for line in self.rules.draw(solution.answer).splitlines()]
        print("\n".join(lines) + "\n", flush=True)

    def print_json(self, number: int, solution: Solution | Proof) -> None:
        """Prints a solution as one line of JSON."""
        answer = None if solution.answer is None else self.rules.to_text(solution.answer)
        unit, count = _cost(solution)
        row: dict[str, Any] = {
            "question": self.question_text(number),
            "answer": answer if solution.verified else None,
            "verified": solution.verified,
            unit: count,
            "source": self.questions.sources[number],
            "line": self.questions.lines[number],
        }
        if self.show_attempt and answer is not None and not solution.verified:
            row["attempt"] = answer
        print(json.dumps(row), flush=True)


class CsvWriter:
    """Writes solutions to a CSV file."""

    def __init__(self, printer: Printer, file: TextIO):
        """Writes the header.

        Args:
          printer: provides the puzzles and their rules.
          file: file to write to.
        """
        self._printer, self._csv = printer, csv.writer(file, lineterminator="\n")
        self._csv.writerow(COLUMNS)

    def __call__(self, number: int, solution: Solution | Proof) -> None:
        """Writes one row."""
        printer = self._printer
        shown = solution.answer is not None and (solution.verified or printer.show_attempt)
        costs = dict([_cost(solution)])
        probability = (
            f"{solution.halting_probability:.4f}" if isinstance(solution, Solution) else ""
        )
        self._csv.writerow(
            [
                printer.questions.places[number],
                printer.question_text(number),
                printer.rules.to_text(solution.answer) if shown else "",
                int(solution.verified),
                costs.get("supervision_steps", ""),
                probability,
                costs.get("passes", ""),
            ]
        )


def _cost(solution: Solution | Proof) -> tuple[str, int]:
    """Returns the unit in which the cost of a puzzle is counted, and the number of units."""
    if isinstance(solution, Proof):
        return "passes", solution.passes
    return "supervision_steps", solution.supervision_steps
