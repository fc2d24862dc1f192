"""From what a model makes of a puzzle to HTML; every text that comes from outside is escaped.

Cells that the model fills are coloured by its confidence, clues are not; what breaks a rule is
marked. Nothing here knows of Gradio.
"""

import html
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cgar_jax.data import Rules, rules_of, sudoku
from cgar_jax.data.families.sudoku import Grid
from cgar_jax.demo.asking import Outcome, Try

COLUMNS = ("supervision steps", "halting probability", "answer", "time")
EXPLAINED = {
    "plain": "takes all supervision steps of training",
    "halting": "stops when the halting head says that the answer is right",
    "rollouts": "stops when one of {} runs, all but the first with noise, is verified",
}


class Look(NamedTuple):
    """How the puzzles of one family and size are entered and drawn."""

    family: Rules
    blank: int  # the token of cells that the model fills
    names: dict[str, str]  # of the symbols that one may enter, in their order
    once: str  # the symbols that a puzzle has once
    brush: str  # the symbol that is chosen at first, else ""
    css: str  # rules of this family and size


def look_of(name: str, num_cells: int) -> Look:
    """The look of a family.

    Args:
      name: of the family.
      num_cells: of its puzzles.
    """
    rules = rules_of(name)
    if name == "maze":
        names = {"#": "wall", " ": "open", "S": "start", "G": "goal"}
        return Look(rules, rules.blank, names, "SG", "#", "")
    grid = Grid.of_length(num_cells)
    symbols = sudoku.decode(np.arange(rules.blank, grid.vocab_size))
    names = {symbol: "blank" if symbol == "." else symbol for symbol in symbols}
    return Look(rules, rules.blank, names, "", "", _box_lines(grid))


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


def sentence(message: object) -> str:
    """What is shown in place of an outcome: a sentence of what is wrong."""
    text = str(message).rstrip(".")
    return f'<p class="sentence" role="alert">{html.escape(text[:1].upper() + text[1:])}.</p>'


def draw(outcome: Outcome, look: Look) -> str:
    """All that is shown of an outcome: the verdict, the supervision steps, the modes."""
    return verdict(outcome, look) + player(_frames(outcome, look)) + modes(outcome.tries)


def verdict(outcome: Outcome, look: Look) -> str:
    """Whether any answer is right, after how many supervision steps, else what is wrong."""
    right, best = _right_steps(outcome, look), outcome.tries["rollouts"].solution
    if len(right):
        word, told = _verified(int(right[0])), ""
    elif best.verified:
        word = _verified(best.supervision_steps)
        told = "A rollout with noise found it; the plain run does not."
    else:
        fault = look.family.answer_faults(outcome.trajectory.question[None], best.answer[None])[0]
        word = '<h2 class="unsolved">not solved</h2>'
        told = f"The best attempt is wrong: it {fault}."
    remark = f"Note: {outcome.remark}." if outcome.remark else ""
    return word + "".join(f"<p>{html.escape(line)}</p>" for line in (told, remark) if line)


def _verified(steps: int) -> str:
    return f'<h2 class="verified">verified <small>after {_steps(steps)}</small></h2>'


def _right_steps(outcome: Outcome, look: Look) -> np.ndarray:
    """The supervision steps, counted from 1, after which the plain run has a right answer."""
    answers = outcome.trajectory.answers
    questions = np.broadcast_to(outcome.trajectory.question, answers.shape)
    return np.flatnonzero(look.family.accepts(questions, answers)) + 1


def player(frames: Sequence[str]) -> str:
    """Frames to be played one after the other; the last one is shown at first."""
    last = len(frames)
    figures = "".join(
        f'<figure data-step="{number}"{" hidden" * (number < last)}>{frame}</figure>'
        for number, frame in enumerate(frames, 1)
    )
    return (
        f'<div class="player">{figures}<div class="controls">'
        '<button type="button" data-play>&#9654; play</button>'
        f'<input type="range" min="1" max="{last}" value="{last}" aria-label="supervision step">'
        '</div><p class="legend"><i class="clue">given</i><i style="--sure:100%">sure</i>'
        '<i style="--sure:0%">unsure</i><i class="wrong">breaks a rule</i></p></div>'
    )


def _frames(outcome: Outcome, look: Look) -> list[str]:
    """The plain run, and where it is never right, the best attempt if that is another one."""
    frames, (question, answers, confidences, halting, _) = [], outcome.trajectory
    for step in range(len(answers)):
        told = (
            f"supervision step {step + 1} of {len(answers)}, "
            f"halting probability {halting[step]:.1%}"
        )
        frames.append(frame(question, answers[step], confidences[step], told, look))
    best = outcome.tries["rollouts"].solution
    is_another = (best.answer != answers[-1]).any()
    if is_another and not len(_right_steps(outcome, look)):
        told = f"best attempt: a rollout with noise, {_steps(best.supervision_steps)}"
        frames.append(frame(question, best.answer, None, told, look))
    return frames


def frame(
    question: np.ndarray, answer: np.ndarray, confidences: np.ndarray | None, told: str, look: Look
) -> str:
    """A grid after a supervision step, and what is to be said of it.

    Args:
      question: tokens `[num_cells]`.
      answer: tokens `[num_cells]`.
      confidences: `[num_cells]`, in [0, 1]; None leaves the cells without colour.
      told: when this is.
      look: of the family.
    """
    fault = look.family.answer_faults(question[None], answer[None])[0]
    wrong = look.family.wrong_cells(question[None], answer[None])[0]
    styles = [""] * len(answer)
    if confidences is not None:
        styles = [f' style="--sure:{confidence:.0%}"' for confidence in confidences]
    symbols, is_clue = look.family.to_text(answer), question != look.blank
    drawn = "".join(map(_cell, symbols, answer, is_clue, wrong, styles))
    kind, judged = ("unsolved", f"wrong: it {fault}") if fault else ("verified", "verified")
    return (
        f'<div class="grid" role="img" aria-label="{html.escape(told)}">{drawn}</div>'
        f"<figcaption>{html.escape(told)}<br>"
        f'<b class="{kind}">{html.escape(judged)}</b></figcaption>'
    )


def _cell(symbol: str, token: int, is_clue: bool, is_wrong: bool, style: str) -> str:
    kinds = f"t{token}" + " clue" * bool(is_clue) + " wrong" * bool(is_wrong)
    return f'<i class="{kinds}"{style}>{html.escape(symbol)}</i>'


def modes(tries: dict[str, Try]) -> str:
    """A table that compares the modes."""
    head = "".join(f"<th>{name}</th>" for name in ("mode", *COLUMNS))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in map(_row, tries, tries.values()))
    table = f'<table class="modes"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    told = "; ".join(
        f"<b>{name}</b> {EXPLAINED[name].format(tries[name].num_rollouts)}" for name in tries
    )
    return f'{table}<p class="hint">{told}.</p>'


def _row(name: str, tried: Try) -> Iterator[str]:
    solution, num = tried.solution, tried.num_rollouts
    yield f"<th>{name}</th>"
    yield f"<td>{solution.supervision_steps}{f' &times; {num} runs' if num > 1 else ''}</td>"
    yield f"<td>{solution.halting_probability:.1%}</td>"
    kind, word = ("verified", "verified") if solution.verified else ("unsolved", "not solved")
    yield f'<td class="{kind}">{word}</td>'
    yield f"<td>{tried.milliseconds:,.0f} ms</td>"


def _steps(count: int) -> str:
    return f"{count} supervision step{'' if count == 1 else 's'}"
