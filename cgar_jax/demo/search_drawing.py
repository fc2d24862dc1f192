"""Draws the outcome of a search as HTML: the candidates after each pass, and the comparison.

This file is independent of Gradio.
"""

import html
from collections.abc import Iterator

import numpy as np

from cgar_jax.demo.demonstration import SearchOutcome, SearchResult
from cgar_jax.demo.drawing import (
    NOT_SOLVED,
    Look,
    draw_ending,
    draw_lines,
    draw_player,
    draw_table,
    draw_verified,
)
from cgar_jax.evaluation import SearchEvent, SearchTrajectory
from cgar_jax.evaluation.search_trajectory import symbol_rows

SEARCHES = {
    "network": "chooses the guesses and finds the answer",
    "singles": "is the same search with two hand-written rules in its place",
}
"""The explanation of each search on the page, by its name."""
_KINDS = {
    SearchEvent.SOLVED: "verified",
    SearchEvent.DEAD_END: "unsolved",
    SearchEvent.RESTART: "unsolved",
}
_LEGEND = '<i class="clue">clue</i><i class="guess">guess</i><i>candidate</i><i><s>removed</s></i>'


def draw_search(outcome: SearchOutcome, look: Look) -> str:
    """Returns everything about the outcome of a search: verdict, passes and comparison.

    Args:
      outcome: the outcome.
      look: look of the puzzle family.
    """
    found = outcome.trajectory
    shown = found.excerpt()
    frames = [draw_pass(found, number, look) for number in shown]
    detail = f"{found.count(SearchEvent.GUESS):,} guesses led to "
    detail += f"{found.count(SearchEvent.DEAD_END):,} contradictions."
    if found.answer is None:
        heading = NOT_SOLVED
        detail = f"No solution after {_passes(len(found.events))}; there may be none. {detail}"
    else:
        heading = draw_verified(_passes(len(found.events)))
    if len(shown) < len(found.events):
        detail += f" The first and the last {len(shown) // 2} passes are shown."
    player = draw_player(frames, "pass", _LEGEND)
    return heading + draw_lines(detail, outcome.remark) + player + draw_searches(outcome.results)


def draw_pass(found: SearchTrajectory, number: int, look: Look) -> str:
    """Returns the candidates after a pass, with a caption.

    Args:
      found: the search.
      number: index of the pass.
      look: look of the puzzle family.
    """
    symbols = list(look.names)[-found.after.shape[2] :]
    clues = found.before[0].sum(1) == 1
    cells = "".join(
        _cell(before, after, kind, symbols)
        for before, after, kind in zip(
            found.before[number],
            found.after[number],
            np.where(clues, "clue", np.where(found.guessed[number], "guess", "")),
            strict=True,
        )
    )
    event = found.events[number]
    caption = f"pass {number + 1} of {len(found.events)}"
    return (
        f'<div class="grid" role="img" aria-label="{caption}">{cells}</div>'
        f'<figcaption>{caption}<br><b class="{_KINDS.get(event, "")}">{html.escape(event)}</b>'
        "</figcaption>"
    )


def _cell(before: np.ndarray, after: np.ndarray, kind: str, symbols: list[str]) -> str:
    """Returns a cell: its only candidate, or its candidates and those that were removed."""
    if after.sum() == 1:
        return f'<i class="{kind}">{html.escape(symbols[int(after.argmax())])}</i>'
    texts = [
        html.escape(symbol) if stays else f"<s>{html.escape(symbol)}</s>" if was else " "
        for symbol, stays, was in zip(symbols, after, before, strict=True)
    ]
    return f'<i class="candidates {kind}">{"<br>".join(symbol_rows(texts))}</i>'


def draw_searches(results: dict[str, SearchResult]) -> str:
    """Returns a table that compares the searches.

    Args:
      results: results by name of the search.
    """
    header = ("search with", "passes", "answer", "time")
    table = draw_table(header, map(_row, results, results.values()))
    explanation = "; ".join(f"<b>{name}</b> {what}" for name, what in SEARCHES.items())
    return f'{table}<p class="hint">{explanation}.</p>'


def _row(name: str, result: SearchResult) -> Iterator[str]:
    yield f"<th>{name}</th>"
    yield f"<td>{result.passes:,}</td>"
    yield from draw_ending(result.solved, result.milliseconds)


def _passes(count: int) -> str:
    return f"{count:,} pass{'' if count == 1 else 'es'}"
