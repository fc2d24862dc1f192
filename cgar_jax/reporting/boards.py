"""Boards, which draw the puzzles of each family with matplotlib.

A puzzle family that supports animation has a subclass of `Board` here and an entry in `BOARDS`.
"""

import abc
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgba
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from cgar_jax.data import IGNORE_LABEL
from cgar_jax.data.families.arc import grids
from cgar_jax.data.families.maze import grid as maze
from cgar_jax.data.families.sudoku import grid as sudoku
from cgar_jax.evaluation.search_trajectory import symbol_rows
from cgar_jax.recursion import Trajectory

# Even the darkest color is light enough for black digits.
CONFIDENCE = LinearSegmentedColormap.from_list("confidence", ["#FFF6E0", "#8CC5E3", "#3B8FC2"])
CLUE, INK, WRONG, PATH, WALL = "#D9D9D9", "#1A1A1A", "#C4161C", "#F2C800", "#4A4A4A"
GUESS, FOUND, REMOVED = "#FFC266", "#0072B2", "#E3A9A9"
# White for "no cell", then the colors 0 to 9 as the ARC Prize shows them.
_ARC = ListedColormap(
    [
        *("#FFFFFF", "#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA"),
        *("#F012BE", "#FF851B", "#7FDBFF", "#870C25"),
    ]
)


class Board(abc.ABC):
    """One puzzle with the answers of a trajectory, all as grids of tokens `[rows, columns]`.

    Attributes:
      num_grids: number of grids side by side.
      question: grid of the question.
      answers: grid of the answer in each reading.
      solution: grid of the solution, or None if it is unknown.
    """

    num_grids = 1

    def __init__(self, trajectory: Trajectory, solution: np.ndarray | None):
        """Arranges the cells as grids.

        Args:
          trajectory: trajectory of the puzzle.
          solution: tokens, int `[num_cells]`, or None.
        """
        self.question = self.grid(trajectory.question)
        self.answers = [self.grid(answer) for answer in trajectory.answers]
        self.solution = None if solution is None else self.grid(np.asarray(solution))

    def grid(self, cells: np.ndarray) -> np.ndarray:
        """Returns cells, given row by row, as a square grid.

        Args:
          cells: values `[num_cells]`.
        """
        size = math.isqrt(len(cells))
        return cells.reshape(size, size)

    def wrong(self, reading: int) -> np.ndarray:
        """Returns the cells whose answer differs from the solution, bool `[rows, columns]`.

        Args:
          reading: index of the reading.
        """
        answer = self.answers[reading]
        if self.solution is None:
            return np.zeros(answer.shape, bool)
        return (self.solution != IGNORE_LABEL) & (answer != self.solution)

    @abc.abstractmethod
    def draw(
        self,
        axes: Sequence[Axes],
        answer: np.ndarray | None,
        confidences: np.ndarray | None,
        wrong: np.ndarray | None,
    ) -> None:
        """Draws an answer, or only the question.

        Args:
          axes: `num_grids` axes.
          answer: grid of the answer, or None for the question.
          confidences: grid of probabilities in [0, 1], or None for the question.
          wrong: grid of booleans, or None for the question.
        """


class SudokuBoard(Board):
    """A Sudoku with bold clues and lines between its boxes."""

    def draw(self, axes, answer, confidences, wrong):
        """Draws digits on colors of confidence; see `Board.draw`."""
        (axes,) = axes
        clues = self.question != sudoku.BLANK
        size = len(clues)
        _show_cells(axes, _cell_colors(confidences, clues.shape, [(clues, CLUE)]), wrong)
        shown = self.question if answer is None else answer
        for (row, column), token in np.ndenumerate(shown):
            if token > sudoku.BLANK:
                is_wrong = wrong is not None and wrong[row, column]
                axes.text(
                    column,
                    row + 0.03,
                    sudoku.decode([token]),
                    ha="center",
                    va="center",
                    fontsize=108 / size,
                    color=WRONG if is_wrong else INK,
                    fontweight="bold" if clues[row, column] else "normal",
                )
        _draw_box_lines(axes, size)


class MazeBoard(Board):
    """A maze with dark walls, the letters S and G, and dots on the path."""

    def draw(self, axes, answer, confidences, wrong):
        """Draws the path on colors of confidence; see `Board.draw`."""
        (axes,) = axes
        clues = self.question != maze.OPEN
        fixed = [(clues, CLUE), (self.question == maze.WALL, WALL)]
        _show_cells(axes, _cell_colors(confidences, clues.shape, fixed), wrong)
        scale = 300 / len(clues)  # points per cell, if a grid is 300 points wide
        for token, letter in ((maze.START, "S"), (maze.GOAL, "G")):
            for row, column in np.argwhere(self.question == token):
                style = {"ha": "center", "va": "center", "fontsize": 0.45 * scale}
                axes.text(column, row, letter, fontweight="bold", **style)
        if answer is not None:
            rows, columns = np.nonzero(answer == maze.PATH)
            size = (0.35 * scale) ** 2
            axes.scatter(columns, rows, size, PATH, edgecolors=INK, linewidths=0.5, zorder=3)


class ArcBoard(Board):
    """An ARC puzzle: question, answer and confidence side by side."""

    num_grids = 3

    def __init__(self, trajectory: Trajectory, solution: np.ndarray | None):
        """Crops the canvas to the part that any answer or the solution uses.

        Args:
          trajectory: trajectory of the puzzle.
          solution: tokens, int `[num_cells]`, or None.
        """
        super().__init__(trajectory, solution)
        self.question = grids.decode(trajectory.question).astype(int)
        self.answers = list(map(_on_canvas, self.answers))
        self.solution = None if self.solution is None else _on_canvas(self.solution)
        known = self.answers + ([] if solution is None else [self.solution])
        used = np.any([each >= 0 for each in known], axis=0)
        rows, columns = used.any(1).sum() or 1, used.any(0).sum() or 1
        self._crop = (slice(rows), slice(columns))

    def draw(self, axes, answer, confidences, wrong):
        """Draws the three grids; see `Board.draw`."""
        question, given, confidence = axes
        for each, title in zip(axes, ("question", "answer", "confidence"), strict=True):
            each.set_title(title, fontsize=9)
        _show_cells(question, _ARC(self.question + 1), None)
        shape = self.answers[0][self._crop].shape
        cells = np.full(shape, -1) if answer is None else answer[self._crop]
        wrong = None if wrong is None else wrong[self._crop]
        _show_cells(given, _ARC(cells + 1), wrong)
        shown = None if confidences is None else confidences[self._crop]
        _show_cells(confidence, _cell_colors(shown, shape, [(cells < 0, "white")]), wrong)


def draw_candidates(
    axes: Axes, clues: np.ndarray, before: np.ndarray, left: np.ndarray, guessed: np.ndarray
) -> None:
    """Draws the candidates of a Sudoku before and after a pass.

    A cell with one candidate shows it large, other cells show small digits. Candidates that the
    pass removed are pale; cells with a guess are orange.

    Args:
      axes: axes of the grid.
      clues: cells that are given, bool `[num_cells]`.
      before: candidates before the pass, bool `[num_cells, symbols]`.
      left: candidates after the pass, bool `[num_cells, symbols]`.
      guessed: cells with a guess, bool `[num_cells]`.
    """
    size = math.isqrt(len(clues))
    colors = np.ones((size, size, 4))
    for where, color in ((clues, CLUE), (guessed, GUESS)):
        colors[where.reshape(size, size)] = to_rgba(color)
    _show_cells(axes, colors, None)
    style = {"ha": "center", "va": "center"}
    for cell, symbols in enumerate(left):
        row, column = divmod(cell, size)
        if symbols.sum() == 1:
            digit, weight = _digit(symbols.argmax()), "bold" if clues[cell] else "normal"
            style |= {"fontsize": 108 / size, "fontweight": weight}
            color = INK if clues[cell] or guessed[cell] else FOUND
            axes.text(column, row + 0.03, digit, color=color, **style)
            continue
        style |= {"fontsize": 52 / size, "fontweight": "normal"}
        for shown, color in ((symbols, INK), (before[cell] & ~symbols, REMOVED)):
            axes.text(column, row + 0.02, _small(shown), color=color, family="monospace", **style)
    _draw_box_lines(axes, size)


def _small(symbols: np.ndarray) -> str:
    """Returns the text of some symbols `[symbols]`, with spaces in place of the others."""
    digits = [_digit(i) if chosen else " " for i, chosen in enumerate(symbols)]
    return "\n".join(symbol_rows(digits))


def _digit(symbol: int) -> str:
    return sudoku.decode([symbol + sudoku.BLANK + 1])


def _draw_box_lines(axes: Axes, size: int) -> None:
    boxes = sudoku.Grid.of_size(size)
    axes.hlines(np.arange(0, size + 1, boxes.box_rows) - 0.5, -0.5, size - 0.5, INK, lw=1.6)
    axes.vlines(np.arange(0, size + 1, boxes.box_columns) - 0.5, -0.5, size - 0.5, INK, lw=1.6)


BOARDS = {"sudoku": SudokuBoard, "maze": MazeBoard, "arc": ArcBoard}


def _on_canvas(tokens: np.ndarray) -> np.ndarray:
    """Returns the colors of the grid that tokens `[size, size]` describe, and -1 outside it."""
    grid = grids.decode(tokens)
    canvas = np.full(tokens.shape, -1)
    canvas[: grid.shape[0], : grid.shape[1]] = grid
    return canvas


def _cell_colors(
    confidences: np.ndarray | None, shape: tuple[int, int], fixed: list[tuple[np.ndarray, str]]
) -> np.ndarray:
    """Returns colors of cells, `[*shape, 4]`: fixed ones where given, else those of confidence."""
    colors = np.ones((*shape, 4)) if confidences is None else CONFIDENCE(confidences)
    for where, color in fixed:
        colors[where] = to_rgba(color)
    return colors


def _show_cells(axes: Axes, colors: np.ndarray, wrong: np.ndarray | None) -> None:
    """Shows cells with thin lines between them, and red frames around wrong ones."""
    rows, columns = colors.shape[:2]
    axes.imshow(colors, interpolation="nearest")
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#9A9A9A", lw=0.5)
    axes.tick_params(which="minor", length=0)
    if wrong is not None:
        width = min(2.0, 24 / max(rows, columns))
        visible_on_red = [Stroke(linewidth=2.2 * width, foreground="white"), Normal()]
        style = {
            "fill": False,
            "ec": WRONG,
            "lw": width,
            "path_effects": visible_on_red,
            "zorder": 4,
        }
        for row, column in np.argwhere(wrong):
            axes.add_patch(Rectangle((column - 0.42, row - 0.42), 0.84, 0.84, **style))
