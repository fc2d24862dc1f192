"""Tokens, text and rules of square mazes.

Tokens follow the layout of the published data set: 0 is padding, then wall ``#``, open cell (a
space), start ``S``, goal ``G`` and path ``o``. A maze is a row-major ``uint8 [size * size]`` array
everywhere in this package; its text has one character for each cell and no line breaks. An answer
is the question with the open cells of a shortest path from ``S`` to ``G`` marked.
"""

import math
from collections.abc import Sequence

import numpy as np

from cgar_jax.data.families.maze.solver import distances, on_shortest_paths, one_shortest_path
from cgar_jax.data.records import RecordError, equally_long, no_strays

WALL, OPEN, START, GOAL, PATH = range(1, 6)
VOCAB_SIZE = 6
_SYMBOLS = "?# SGo"  # by token; "?" shows a padding token, which no file contains
_TOKEN_OF_BYTE = np.zeros(256, np.uint8)
_TOKEN_OF_BYTE[[ord(symbol) for symbol in _SYMBOLS[1:]]] = np.arange(1, len(_SYMBOLS))


def encode(text: str) -> np.ndarray:
    """Returns the tokens of a maze written as ``#``, space, ``S``, ``G`` and ``o``.

    Args:
      text: one character for each cell, row by row; line breaks are left out.

    Returns:
      ``uint8 [num_cells]``.

    Raises:
      ValueError: if the maze is not square or has another character.
    """
    rows = text.strip("\n").split("\n")
    if len(rows) > 1:
        for number, row in enumerate(rows):
            if len(row) != len(rows):
                raise ValueError(
                    f"row {number + 1} of the maze has {len(row)} cells; expected {len(rows)}, "
                    "as many as there are rows"
                )
    text = "".join(rows)
    size_of(len(text))
    return _tokens([text], "maze", _SYMBOLS[1:])[0]


def decode(tokens: np.ndarray, line_breaks: bool = False) -> str:
    """Returns a maze as text, ``?`` for padding, in one line or in as many as it has rows.

    Args:
      tokens: integers ``[num_cells]``, for example from ``encode`` or from a model's argmax.
      line_breaks: whether to break lines.
    """
    text = "".join(_SYMBOLS[token] for token in np.asarray(tokens).tolist())
    if not line_breaks:
        return text
    size = size_of(len(text))
    return "\n".join(text[start : start + size] for start in range(0, len(text), size))


def size_of(num_cells: int) -> int:
    """Returns the number of rows of a maze of so many cells.

    Raises:
      ValueError: if it is not square.
    """
    size = math.isqrt(num_cells)
    if size * size != num_cells or size < 2:
        raise ValueError(f"{num_cells} cells make no maze; expected a square, as 900 (30x30)")
    return size


def parse(
    num_cells: int, questions: Sequence[str], answers: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens of mazes and of their solutions, ``uint8 [num, num_cells]`` each.

    Raises:
      RecordError: if one of them is no maze, or its answer not a shortest path.
    """
    for column, texts in (("question", questions), ("answer", answers)):
        equally_long(column, texts, num_cells)
    inputs = parse_questions(questions)
    labels = _tokens(answers, "answer", _SYMBOLS[1:])
    for index, fault in enumerate(question_faults(inputs)):
        if fault:
            raise RecordError(index, f"the question {fault}")
    for index, fault in enumerate(answer_faults(inputs, labels)):
        if fault:
            raise RecordError(index, f"the answer {fault}")
    return inputs, labels


def parse_questions(texts: Sequence[str]) -> np.ndarray:
    """Returns the tokens of equally long questions, ``uint8 [num, num_cells]``.

    Raises:
      RecordError: if one has a character that is none of a question.
    """
    return _tokens(texts, "question", _SYMBOLS[1:5])


def question_faults(questions: np.ndarray) -> list[str]:
    """Tells what is wrong with each question, ``""`` if nothing is.

    Args:
      questions: tokens, ``uint8 [num, num_cells]``.
    """
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
    """Tells why each answer does not solve its question, ``""`` if it does.

    An answer solves a maze if it keeps walls, start and goal, and the cells that it marks connect
    start and goal and are no more than a shortest path has.

    Args:
      questions: tokens of mazes without faults, ``uint8 [num, num_cells]``.
      answers: tokens, integer ``[num, num_cells]``, for example a model's.
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
    """Tells which cells of each answer are at fault, none if it solves its question.

    These are cells that are not as in the question; if there are none, G and the marked cells that
    are cut off from S, or, where G is reached, those off the shortest way that is marked; if there
    are none, all marked cells, which are a detour.

    Args:
      questions: tokens of mazes without faults, ``uint8 [num, num_cells]``.
      answers: tokens, ``uint8 [num, num_cells]``.

    Returns:
      ``bool [num, num_cells]``.
    """
    marked = answers == PATH
    way = marked | (questions >= START)
    steps = _steps(questions, way)
    is_connected = _at_goal(questions, steps)[:, None] >= 0
    ends = questions == START, questions == GOAL
    shortest = on_shortest_paths(*(_in_rows(cells) for cells in (way, *ends)))
    changed = (answers != questions) & ~(marked & (questions == OPEN))
    astray = np.where(is_connected, marked & ~shortest.reshape(way.shape), way & (steps < 0))
    wrong = np.zeros(questions.shape, bool)
    for index, fault in enumerate(answer_faults(questions, answers)):
        if fault:
            kinds = changed[index], astray[index], marked[index]
            wrong[index] = next((cells for cells in kinds if cells.any()), False)
    return wrong


def solve(question: np.ndarray) -> np.ndarray:
    """Returns the answer of a maze, see `one_shortest_path`.

    Args:
      question: tokens of a maze without faults, ``uint8 [num_cells]``.

    Returns:
      ``uint8 [num_cells]``.
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


def _tokens(texts: Sequence[str], column: str, symbols: str) -> np.ndarray:
    # Anything outside ASCII becomes one "?", which is as stray as the original.
    codes = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)
    tokens = _TOKEN_OF_BYTE[codes].reshape(len(texts), -1)
    stray = (tokens == 0) | (tokens > len(symbols))
    no_strays(column, texts, stray, f"one of {', '.join(map(repr, symbols))}")
    return tokens
