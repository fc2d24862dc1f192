"""How a model comes to its answer: the trace of one puzzle as an animation."""

import abc
import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from cgar_jax._core.registry import check_name
from cgar_jax.data.families.arc import grids
from cgar_jax.data.families.maze import grid as maze
from cgar_jax.data.families.sudoku import grid as sudoku
from cgar_jax.losses import IGNORE_LABEL
from cgar_jax.recursion import Trajectory

# Light enough for black digits at its darkest.
CONFIDENCE = LinearSegmentedColormap.from_list("confidence", ["#FFF6E0", "#8CC5E3", "#3B8FC2"])
CLUE, INK, WRONG, PATH = "#D9D9D9", "#1A1A1A", "#C4161C", "#F2C800"
# For "no cell", then the colours 0 to 9 as the ARC Prize shows them.
_ARC = ListedColormap(
    [
        *("#FFFFFF", "#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA"),
        *("#F012BE", "#FF851B", "#7FDBFF", "#870C25"),
    ]
)


def animate(
    trajectory: Trajectory, family: str, path: str | os.PathLike, solution: np.ndarray | None = None
) -> None:
    """Writes an animated GIF: the question, then one frame for each reading of a trajectory.

    The colour of a cell is the model's confidence, clues are grey, and errors are framed in red.
    ARC, where colours are the answer, has the confidence in a grid of its own.

    Args:
      trace: of the puzzle.
      family: "sudoku", "maze" or "arc".
      path: of the GIF.
      solution: tokens `[num_cells]`; without it no error is marked.

    Raises:
      ValueError: another family.
    """
    check_name("family", family, _BOARDS)
    board = _BOARDS[family](trajectory, solution)
    frames = [_frame(board, trajectory, reading) for reading in range(-1, len(trajectory.answers))]
    # One palette for all, so that what stays the same keeps its very colour.
    sheet = Image.fromarray(np.concatenate(frames)).quantize(256, dither=Image.Dither.NONE)
    height, width = frames[0].shape[:2]
    tops = range(0, height * len(frames), height)
    first, *rest = [sheet.crop((0, top, width, top + height)) for top in tops]
    durations = [1200, *[500] * (len(rest) - 1), 3000]  # milliseconds
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)


def _frame(board: "_Board", trajectory: Trajectory, reading: int) -> np.ndarray:
    """One picture of a trajectory, `[height, width, 3]`; reading -1 is the question."""
    figure = Figure((1.4 + 3.2 * board.num_grids, 5), dpi=90, layout="constrained")
    spec = figure.add_gridspec(2, board.num_grids, height_ratios=(6, 1))
    axes = [figure.add_subplot(spec[0, column]) for column in range(board.num_grids)]
    for each in axes:
        each.set(xticks=[], yticks=[])
    figure.suptitle(_title(board, trajectory, reading), x=0.02, ha="left", fontsize=11)
    if reading < 0:
        board.draw(axes, None, None, None)
    else:
        confidences = board.grid(trajectory.confidences[reading])
        board.draw(axes, board.answers[reading], confidences, board.wrong(reading))
    figure.colorbar(
        ScalarMappable(Normalize(0, 1), CONFIDENCE),
        ax=axes[-1],
        shrink=0.7,
        format=PercentFormatter(1, decimals=0),
    ).ax.tick_params(labelsize=8)
    _halting(figure.add_subplot(spec[1, :]), trajectory, reading)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _title(board: "_Board", trajectory: Trajectory, reading: int) -> str:
    if reading < 0:
        return "the question"
    step, cycle = divmod(reading, trajectory.num_cycles)
    title = f"supervision step {step + 1}, cycle {cycle + 1} of {trajectory.num_cycles}"
    if board.solution is None:
        return title
    wrong = int(board.wrong(reading).sum())
    return f"{title}, cells wrong: {wrong}"


def _halting(axes: Axes, trajectory: Trajectory, reading: int) -> None:
    """The halting probability until now."""
    probabilities = trajectory.halting_probabilities
    steps = np.arange(1, len(probabilities) + 1) / trajectory.num_cycles
    shown = slice(reading + 1)
    axes.fill_between(steps[shown], probabilities[shown], color="#C8DCEB")
    axes.plot(steps[shown], probabilities[shown], "o-", ms=3, lw=1, color="#0072B2")
    axes.axhline(0.5, color="#999999", lw=0.6, ls=":")
    axes.set(xlim=(0, steps[-1] + 0.02), ylim=(-0.05, 1.1), yticks=(0, 1))
    axes.set_yticks((0, 1), ("0%", "100%"))
    axes.set_title("the model's belief that all is right; above half it halts", fontsize=8)
    axes.set_xlabel("supervision step", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


class _Board(abc.ABC):
    """How a family of puzzles is drawn; tokens come as grids `[rows, columns]`."""

    num_grids = 1

    def __init__(self, trajectory: Trajectory, solution: np.ndarray | None):
        self.question = self.grid(trajectory.question)
        self.answers = [self.grid(answer) for answer in trajectory.answers]
        self.solution = None if solution is None else self.grid(np.asarray(solution))

    def grid(self, cells: np.ndarray) -> np.ndarray:
        """The cells of a puzzle, row by row, as a grid."""
        size = math.isqrt(len(cells))
        return cells.reshape(size, size)

    def wrong(self, reading: int) -> np.ndarray:
        """Which cells of a reading are not those of the solution; none without one."""
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
        """Draws the question, or an answer to it."""


class _Sudoku(_Board):
    def draw(self, axes, answer, confidences, wrong):
        (axes,) = axes
        clues = self.question != sudoku.BLANK
        size = len(clues)
        _show(axes, _colours(confidences, clues.shape, [(clues, CLUE)]), wrong)
        shown = self.question if answer is None else answer
        for (row, column), token in np.ndenumerate(shown):
            if token > sudoku.BLANK:
                bad = wrong is not None and wrong[row, column]
                axes.text(
                    column,
                    row + 0.03,
                    sudoku.decode([token]),
                    ha="center",
                    va="center",
                    fontsize=108 / size,
                    color=WRONG if bad else INK,
                    fontweight="bold" if clues[row, column] else "normal",
                )
        boxes = sudoku.Grid.of_size(size)
        axes.hlines(np.arange(0, size + 1, boxes.box_rows) - 0.5, -0.5, size - 0.5, INK, lw=1.6)
        axes.vlines(np.arange(0, size + 1, boxes.box_columns) - 0.5, -0.5, size - 0.5, INK, lw=1.6)


class _Maze(_Board):
    def draw(self, axes, answer, confidences, wrong):
        (axes,) = axes
        clues = self.question != maze.OPEN
        fixed = [(clues, CLUE), (self.question == maze.WALL, "#4A4A4A")]
        _show(axes, _colours(confidences, clues.shape, fixed), wrong)
        scale = 300 / len(clues)  # points; a grid is about as large as that
        for token, letter in ((maze.START, "S"), (maze.GOAL, "G")):
            for row, column in np.argwhere(self.question == token):
                style = {"ha": "center", "va": "center", "fontsize": 0.45 * scale}
                axes.text(column, row, letter, fontweight="bold", **style)
        if answer is not None:
            rows, columns = np.nonzero(answer == maze.PATH)
            size = (0.35 * scale) ** 2
            axes.scatter(columns, rows, size, PATH, edgecolors=INK, linewidths=0.5, zorder=3)


class _Arc(_Board):
    num_grids = 3

    def __init__(self, trajectory: Trajectory, solution: np.ndarray | None):
        super().__init__(trajectory, solution)
        self.question = grids.decode(trajectory.question).astype(int)
        # Of a canvas, the part that an answer or the solution has grids in; elsewhere it is -1.
        self.answers = list(map(_on_canvas, self.answers))
        self.solution = None if self.solution is None else _on_canvas(self.solution)
        known = self.answers + ([] if solution is None else [self.solution])
        used = np.any([each >= 0 for each in known], axis=0)
        rows, columns = used.any(1).sum() or 1, used.any(0).sum() or 1
        self._crop = (slice(rows), slice(columns))

    def draw(self, axes, answer, confidences, wrong):
        question, given, confidence = axes
        for each, title in zip(axes, ("question", "answer", "confidence"), strict=True):
            each.set_title(title, fontsize=9)
        _show(question, _ARC(self.question + 1), None)
        shape = self.answers[0][self._crop].shape
        cells = np.full(shape, -1) if answer is None else answer[self._crop]
        wrong = None if wrong is None else wrong[self._crop]
        _show(given, _ARC(cells + 1), wrong)
        sure = None if confidences is None else confidences[self._crop]
        _show(confidence, _colours(sure, shape, [(cells < 0, "white")]), wrong)


def _on_canvas(tokens: np.ndarray) -> np.ndarray:
    """The colours of the grid that tokens `[size, size]` describe, -1 outside of it."""
    grid = grids.decode(tokens)
    canvas = np.full(tokens.shape, -1)
    canvas[: grid.shape[0], : grid.shape[1]] = grid
    return canvas


_BOARDS = {"sudoku": _Sudoku, "maze": _Maze, "arc": _Arc}


def _colours(
    confidences: np.ndarray | None, shape: tuple[int, int], fixed: list[tuple[np.ndarray, str]]
) -> np.ndarray:
    """Colours of cells, `[*shape, 4]`: those of confidence, but where they are fixed."""
    colours = np.ones((*shape, 4)) if confidences is None else CONFIDENCE(confidences)
    for where, colour in fixed:
        colours[where] = to_rgba(colour)
    return colours


def _show(axes: Axes, colours: np.ndarray, wrong: np.ndarray | None) -> None:
    """Cells, thin lines between them, and red frames where they are wrong."""
    rows, columns = colours.shape[:2]
    axes.imshow(colours, interpolation="nearest")
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#9A9A9A", lw=0.5)
    axes.tick_params(which="minor", length=0)
    if wrong is not None:
        width = min(2.0, 24 / max(rows, columns))
        seen_on_red = [Stroke(linewidth=2.2 * width, foreground="white"), Normal()]
        style = {"fill": False, "ec": WRONG, "lw": width, "path_effects": seen_on_red, "zorder": 4}
        for row, column in np.argwhere(wrong):
            axes.add_patch(Rectangle((column - 0.42, row - 0.42), 0.84, 0.84, **style))
