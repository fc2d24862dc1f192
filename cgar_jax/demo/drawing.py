"""Draws outcomes as HTML; every text that comes from outside is escaped.

Cells that the model fills in are colored by its confidence, clues are not, and cells that break a
rule are marked. This file is independent of Gradio.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.data import Rules, rules_of, sudoku
from cgar_jax.data.families.sudoku import Grid
from cgar_jax.demo.demonstration import ModeResult, Outcome
from cgar_jax.progress import duration

COLUMNS = ("supervision steps", "halting probability", "answer", "time")
MODES = {
    "plain": ("all steps", "takes all supervision steps of training"),
    "halting": ("until it halts", "stops when the model predicts that its answer is right"),
    "rollouts": (
        "several runs",
        "stops when one of {} runs is verified; all but the first run have noise",
    ),
}
"""The name of each solving mode on the page, and its explanation."""
NOT_SOLVED = '<h2 class="unsolved">not solved</h2>'
_LEGEND = (
    '<i class="clue">clue</i><i style="--sure:100%">confident</i>'
    '<i style="--sure:0%">uncertain</i><i class="wrong">breaks a rule</i>'
)


class Look(NamedTuple):
    """The settings for entering and drawing puzzles of one family and size.

    Attributes:
      rules: rules of the family.
      names: names of the symbols that a visitor may enter, in the order of the palette.
      once: symbols that a puzzle contains once.
      brush: symbol that is selected at first, or "".
      css: style rules of this family and size.
      groups: cells that must differ, such as those of a row; the editor marks equal symbols.
    """

    rules: Rules
    names: dict[str, str]
    once: str
    brush: str
    css: str
    groups: list[list[int]]


def look_of(name: str, num_cells: int) -> Look:
    """Returns the look of a puzzle family.

    Args:
      name: name of the family.
      num_cells: number of cells of its puzzles.
    """
    rules = rules_of(name)
    if name == "maze":
        names = {"#": "wall", " ": "open", "S": "start", "G": "goal"}
        return Look(rules, names, "SG", "#", "", [])
    grid = Grid.of_length(num_cells)
    symbols = sudoku.decode(np.arange(rules.blank, grid.vocab_size))
    names = {symbol: "blank" if symbol == "." else symbol for symbol in symbols}
    return Look(rules, names, "", "", _box_lines(grid), _groups(grid))


def _groups(grid: Grid) -> list[list[int]]:
    """Returns the cells of each row, column and box."""
    row, column = np.divmod(np.arange(grid.num_cells), grid.size)
    box = row // grid.box_rows * grid.box_rows + column // grid.box_columns
    kinds = (row, column, box)
    return [np.flatnonzero(kind == n).tolist() for kind in kinds for n in range(grid.size)]


def _box_lines(grid: Grid) -> str:
    right = ", ".join(
        f".grid > :nth-child({grid.size}n+{column})"
        for column in range(grid.box_columns, grid.size, grid.box_columns)
    )
    below = ", ".join(
        f".grid > :nth-child(n+{(row - 1) * grid.size + 1}):nth-child(-n+{row * grid.size})"
        for row in range(grid.box_rows, grid.size, grid.box_rows)
    )
    return (
        f"{right} {{ border-right: 2px solid var(--line); }}\n"
        f"{below} {{ border-bottom: 2px solid var(--line); }}\n"
    )


def draw_error(message: object) -> str:
    """Returns the sentence that explains why there is no outcome.

    Args:
      message: an exception or a text.
    """
    text = str(message).rstrip(".")
    return f'<p class="sentence" role="alert">{html.escape(text[:1].upper() + text[1:])}.</p>'


def draw_outcome(outcome: Outcome, look: Look) -> str:
    """Returns everything about an outcome of deep supervision: verdict, steps and modes.

    Args:
      outcome: the outcome.
      look: look of the puzzle family.
    """
    frames = draw_player(_frames(outcome, look), "supervision step", _LEGEND)
    return draw_verdict(outcome, look) + frames + draw_modes(outcome.results)


def draw_verdict(outcome: Outcome, look: Look) -> str:
    """Returns a heading and an explanation: verified after some steps, or not solved and why.

    Args:
      outcome: the outcome.
      look: look of the puzzle family.
    """
    right, best = _right_steps(outcome, look), outcome.results["rollouts"].solution
    if len(right):
        heading, detail = draw_verified(_steps(int(right[0]))), ""
    elif best.verified:
        heading = draw_verified(_steps(best.supervision_steps))
        detail = "A rollout with noise found the answer; the plain rollout did not."
    else:
        question = outcome.trajectory.question
        fault = look.rules.answer_faults(question[None], best.answer[None])[0]
        heading = NOT_SOLVED
        detail = f"The best answer is wrong: it {fault}."
    return heading + draw_lines(detail, outcome.remark)


def draw_lines(detail: str, remark: str) -> str:
    """Returns an explanation and a remark as paragraphs.

    Args:
      detail: text of the explanation, or "".
      remark: text of the remark, or "".
    """
    remark = f"Note: {remark}." if remark else ""
    return "".join(f"<p>{html.escape(line)}</p>" for line in (detail, remark) if line)


def draw_verified(effort: str) -> str:
    """Returns the heading of a solved puzzle.

    Args:
      effort: number of steps or passes, in words.
    """
    return f'<h2 class="verified">verified <small>after {effort}</small></h2>'


def _right_steps(outcome: Outcome, look: Look) -> np.ndarray:
    """Returns the steps, counted from 1, after which the plain rollout has a right answer."""
    answers = outcome.trajectory.answers
    questions = np.broadcast_to(outcome.trajectory.question, answers.shape)
    return np.flatnonzero(look.rules.accepts(questions, answers)) + 1


def draw_player(frames: Sequence[str], unit: str, legend: str) -> str:
    """Returns a player for frames, which shows the last frame at first.

    Args:
      frames: HTML of the frames.
      unit: name of a frame.
      legend: HTML that explains the colors.
    """
    last = len(frames)
    figures = "".join(
        f'<figure data-step="{number}"{" hidden" * (number < last)}>{frame}</figure>'
        for number, frame in enumerate(frames, 1)
    )
    return (
        f'<div class="player">{figures}<div class="controls">'
        '<button type="button" data-play>&#9654; play</button>'
        f'<input type="range" min="1" max="{last}" value="{last}" aria-label="{unit}">'
        f'</div><p class="legend">{legend}</p></div>'
    )


def _frames(outcome: Outcome, look: Look) -> list[str]:
    """Returns frames of the plain rollout and, if it is never right, of a different best answer."""
    frames, (question, answers, confidences, halting, _) = [], outcome.trajectory
    for step in range(len(answers)):
        caption = (
            f"supervision step {step + 1} of {len(answers)}, "
            f"halting probability {halting[step]:.1%}"
        )
        frames.append(draw_frame(question, answers[step], confidences[step], caption, look))
    best = outcome.results["rollouts"].solution
    differs = (best.answer != answers[-1]).any()
    if differs and not len(_right_steps(outcome, look)):
        caption = f"best answer: a rollout with noise, {_steps(best.supervision_steps)}"
        frames.append(draw_frame(question, best.answer, None, caption, look))
    return frames


def draw_frame(
    question: np.ndarray,
    answer: np.ndarray,
    confidences: np.ndarray | None,
    caption: str,
    look: Look,
) -> str:
    """Returns the grid after a supervision step, with a caption and a verdict.

    Args:
      question: tokens, int `[num_cells]`.
      answer: tokens, int `[num_cells]`.
      confidences: probabilities, float `[num_cells]`; None leaves the cells uncolored.
      caption: text that names the supervision step.
      look: look of the puzzle family.
    """
    fault = look.rules.answer_faults(question[None], answer[None])[0]
    wrong = look.rules.wrong_cells(question[None], answer[None])[0]
    styles = [""] * len(answer)
    if confidences is not None:
        styles = [f' style="--sure:{confidence:.0%}"' for confidence in confidences]
    symbols, is_clue = look.rules.to_text(answer), question != look.rules.blank
    cells = "".join(map(_cell, symbols, answer, is_clue, wrong, styles))
    kind, judgment = ("unsolved", f"wrong: it {fault}") if fault else ("verified", "verified")
    return (
        f'<div class="grid" role="img" aria-label="{html.escape(caption)}">{cells}</div>'
        f"<figcaption>{html.escape(caption)}<br>"
        f'<b class="{kind}">{html.escape(judgment)}</b></figcaption>'
    )


def _cell(symbol: str, token: int, is_clue: bool, is_wrong: bool, style: str) -> str:
    kinds = f"t{token}" + " clue" * bool(is_clue) + " wrong" * bool(is_wrong)
    return f'<i class="{kinds}"{style}>{html.escape(symbol)}</i>'


def draw_modes(results: dict[str, ModeResult]) -> str:
    """Returns a table that compares the solving modes.

    Args:
      results: results by name of the mode.
    """
    table = draw_table(("mode", *COLUMNS), map(_row, results, results.values()))
    explanation = "; ".join(
        f"<b>{MODES[name][0]}</b> {MODES[name][1].format(results[name].num_rollouts)}"
        for name in results
    )
    return f'{table}<p class="hint">{explanation}.</p>'


def draw_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a table of solving modes.

    Args:
      header: names of the columns.
      rows: HTML of the cells of each row.
    """
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<table class="modes"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def draw_ending(solved: bool, milliseconds: float) -> Iterator[str]:
    """Yields the last two cells of a row of the table: whether the mode succeeded, and its time.

    Args:
      solved: whether the answer is verified.
      milliseconds: time that the mode took.
    """
    kind, word = ("verified", "verified") if solved else ("unsolved", "not solved")
    yield f'<td class="{kind}">{word}</td>'
    yield f"<td>{duration(milliseconds / 1e3)}</td>"


def _row(name: str, result: ModeResult) -> Iterator[str]:
    solution, num = result.solution, result.num_rollouts
    yield f"<th>{MODES[name][0]}</th>"
    yield f"<td>{solution.supervision_steps}{f' &times; {num} runs' if num > 1 else ''}</td>"
    yield f"<td>{solution.halting_probability:.1%}</td>"
    yield from draw_ending(solution.verified, result.milliseconds)


def _steps(count: int) -> str:
    return f"{count} supervision step{'' if count == 1 else 's'}"
