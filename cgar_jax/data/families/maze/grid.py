"""Tokens, text and rules of square mazes.

Tokens follow the published data set: 0 is padding, then wall `#`, open cell (a space), start `S`,
goal `G` and path `o`. A maze is a row-major `uint8 [size * size]` array; its text has one character
per cell and no line breaks. An answer is the question with the open cells of a shortest path from
`S` to `G` marked.
"""

import math
from collections.abc import Sequence

import numpy as np

from cgar_jax.data.families.maze.solver import distances, on_shortest_paths, one_shortest_path
from cgar_jax.data.records import check_characters

WALL, OPEN, START, GOAL, PATH = range(1, 6)
VOCAB_SIZE = 6
QUESTION_SYMBOLS, ANSWER_SYMBOLS = "# SG", "# SGo"
_SYMBOLS = "?# SGo"  # by token; "?" stands for padding, which no file contains
_TOKEN_OF_BYTE = np.zeros(256, np.uint8)
_TOKEN_OF_BYTE[[ord(symbol) for symbol in _SYMBOLS[1:]]] = np.arange(1, len(_SYMBOLS))


def encode(text: str) -> np.ndarray:
    """Returns the tokens of a maze written with the characters `#`, space, `S`, `G` and `o`.

    Args:
      text: one character per cell, row by row, with or without line breaks.

    Returns:
      uint8 `[num_cells]`.

    Raises:
      ValueError: if the maze is not square or has another character.
    """
    rows = text.strip("\n").split("\n")
    if len(rows) > 1:
        for number, row in enumerate(rows, 1):
            if len(row) != len(rows):
                raise ValueError(
                    f"row {number} of the maze has {len(row)} cells; expected {len(rows)}, the "
                    "number of rows"
                )
    text = "".join(rows)
    size_of(len(text))
    return tokens_of([text], "maze", ANSWER_SYMBOLS)[0]


def decode(tokens: np.ndarray, line_breaks: bool = False) -> str:
    """Returns a maze as text, with `?` for padding.

    Args:
      tokens: integer `[num_cells]`, for example from `encode` or a model's answer.
      line_breaks: whether each row is on a line of its own.
    """
    text = "".join(_SYMBOLS[token] for token in np.asarray(tokens).tolist())
    if not line_breaks:
        return text
    size = size_of(len(text))
    return "\n".join(text[start : start + size] for start in range(0, len(text), size))


def tokens_of(texts: Sequence[str], column: str, symbols: str) -> np.ndarray:
    """Returns the tokens of texts of equal length, uint8 `[num, num_cells]`.

    Args:
      texts: mazes, one character per cell.
      column: name of the texts in error messages.
      symbols: valid characters, `QUESTION_SYMBOLS` or `ANSWER_SYMBOLS`.

    Raises:
      RecordError: for the first text with another character.
    """
    # Anything outside ASCII becomes one "?", which is not a valid character either.
    codes = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)
    tokens = _TOKEN_OF_BYTE[codes].reshape(len(texts), -1)
    stray = (tokens == 0) | (tokens > len(symbols))
    check_characters(column, texts, stray, f"one of {', '.join(map(repr, symbols))}")
    return tokens


def size_of(num_cells: int) -> int:
    """Returns the number of rows of a maze with `num_cells` cells.

    Raises:
      ValueError: if no square maze has that many cells.
    """
    size = math.isqrt(num_cells)
    if size * size != num_cells or size < 2:
        raise ValueError(
            f"{num_cells} cells do not form a maze; expected a square such as 900 (30x30)"
        )
    return size


def question_faults(questions: np.ndarray) -> list[str]:
    """Returns the first fault of each question, or `""`, see `Rules.question_faults`."""
    faults = []
    reached = _steps(questions, questions > WALL) >= 0
    is_reached = np.any(reached & (questions == GOAL), axis=1)
    for question, reaches_goal in zip(questions, is_reached, strict=True):
        starts, goals = (int((question == token).sum()) for token in (START, GOAL))
        fault = ""
        for symbol, count in (("S", starts), ("G", goals)):
            if count != 1:
                fault = fault or f"has {count or 'no'} {symbol}; expected exactly one"
        faults.append(fault or ("" if reaches_goal else "has a G that cannot be reached from S"))
    return faults


def answer_faults(questions: np.ndarray, answers: np.ndarray) -> list[str]:
    """Returns the reason why each answer is not a solution, or `""`, see `Rules.answer_faults`.

    A solution keeps walls, start and goal; the cells that it marks connect start and goal and are
    no more than a shortest path has.
    """
    shortest = _at_goal(questions, _steps(questions, questions > WALL))
    marked = answers == PATH
    connected = _at_goal(questions, _steps(questions, marked | (questions >= START))) >= 0
    changed = (answers != questions) & ~(marked & (questions == OPEN))
    num_marked = marked.sum(axis=1)
    faults = []
    for index in range(len(questions)):
        fault = ""
        if changed[index].any():
            cell = int(changed[index].argmax())
            was, now = _SYMBOLS[questions[index, cell]], _SYMBOLS[answers[index, cell]]
            fault = f"has {now!r} in cell {cell + 1}, where the question has {was!r}"
        elif not connected[index]:
            fault = "marks no connected path from S to G"
        elif num_marked[index] != shortest[index] - 1:
            fault = (
                f"marks {num_marked[index]} cells; a shortest path from S to G has "
                f"{shortest[index] - 1} between them"
            )
        faults.append(fault)
    return faults


def wrong_cells(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Returns the cells of each answer that are at fault, see `Rules.wrong_cells`.

    They are the cells that differ from the question without being a path on an open cell. If there
    are none, they are the marked cells off the shortest marked route or, if the marks do not reach
    the goal, the goal and the marked cells cut off from the start. If there are none of these
    either, they are all marked cells, because these are a detour.
    """
    marked = answers == PATH
    route = marked | (questions >= START)
    steps = _steps(questions, route)
    is_connected = _at_goal(questions, steps)[:, None] >= 0
    ends = questions == START, questions == GOAL
    shortest = on_shortest_paths(*(_in_rows(cells) for cells in (route, *ends)))
    changed = (answers != questions) & ~(marked & (questions == OPEN))
    astray = np.where(is_connected, marked & ~shortest.reshape(route.shape), route & (steps < 0))
    wrong = np.zeros(questions.shape, bool)
    for index, fault in enumerate(answer_faults(questions, answers)):
        if fault:
            kinds = changed[index], astray[index], marked[index]
            wrong[index] = next((cells for cells in kinds if cells.any()), False)
    return wrong


def solve(question: np.ndarray) -> np.ndarray:
    """Returns the answer of a maze; `one_shortest_path` chooses among several.

    Args:
      question: tokens of a maze without faults, uint8 `[num_cells]`.

    Returns:
      uint8 `[num_cells]`.
    """
    size = size_of(len(question))
    cells = question.reshape(size, size)
    path = one_shortest_path(cells > WALL, cells == START, cells == GOAL).reshape(-1)
    return np.where(path & (question == OPEN), PATH, question).astype(np.uint8)


def _steps(questions: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    steps = distances(_in_rows(is_open), _in_rows(questions == START))
    return steps.reshape(questions.shape)


def _in_rows(cells: np.ndarray) -> np.ndarray:
    size = size_of(cells.shape[1])
    return cells.reshape(len(cells), size, size)


def _at_goal(questions: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values[np.arange(len(values)), (questions == GOAL).argmax(axis=1)]
