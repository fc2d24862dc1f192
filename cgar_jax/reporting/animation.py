"""Animations of a model at work: one GIF frame for each reading of a trajectory.

`boards` draws the puzzles of each family.
"""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from cgar_jax._core.registry import check_name
from cgar_jax.recursion import Trajectory
from cgar_jax.reporting.boards import BOARDS, CONFIDENCE, Board

QUESTION = -1  # the reading of the first frame, before the model has thought
_FIRST_MS, _OTHER_MS, _LAST_MS = 1_200, 500, 3_000


def animate(
    trajectory: Trajectory, family: str, path: str | os.PathLike, solution: np.ndarray | None = None
) -> None:
    """Writes an animated GIF: the question, then one frame for each reading of a trajectory.

    The color of a cell is the model's confidence, clues are gray, and errors have a red frame. ARC
    puzzles, whose answers are colors, show the confidence in a separate grid.

    Args:
      trajectory: trajectory of the puzzle.
      family: name of the puzzle family: "sudoku", "maze" or "arc".
      path: path of the GIF.
      solution: tokens, int `[num_cells]`; without it, no errors are marked.

    Raises:
      ValueError: if the family is unknown.
    """
    check_name("family", family, BOARDS)
    board = BOARDS[family](trajectory, solution)
    readings = range(QUESTION, len(trajectory.answers))
    write_gif([_draw_frame(board, trajectory, reading) for reading in readings], path)


def write_gif(frames: Sequence[np.ndarray], path: str | os.PathLike) -> None:
    """Writes frames as an animated GIF that stays on the first and the last frame for longer.

    Args:
      frames: at least two pictures of the same size, uint8 `[height, width, 3]`.
      path: path of the GIF.
    """
    # All frames share one palette, so that unchanged cells keep exactly their color.
    sheet = Image.fromarray(np.concatenate(frames)).quantize(256, dither=Image.Dither.NONE)
    height, width = frames[0].shape[:2]
    tops = range(0, height * len(frames), height)
    first, *rest = [sheet.crop((0, top, width, top + height)) for top in tops]
    durations = [_FIRST_MS, *[_OTHER_MS] * (len(rest) - 1), _LAST_MS]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)


def pixels(figure: Figure) -> np.ndarray:
    """Returns a drawn figure, uint8 `[height, width, 3]`.

    Args:
      figure: the figure.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _draw_frame(board: Board, trajectory: Trajectory, reading: int) -> np.ndarray:
    """Returns one frame of the GIF, uint8 `[height, width, 3]`."""
    figure = Figure((1.4 + 3.2 * board.num_grids, 5), dpi=90, layout="constrained")
    spec = figure.add_gridspec(2, board.num_grids, height_ratios=(6, 1))
    axes = [figure.add_subplot(spec[0, column]) for column in range(board.num_grids)]
    for each in axes:
        each.set(xticks=[], yticks=[])
    figure.suptitle(_title(board, trajectory, reading), x=0.02, ha="left", fontsize=11)
    if reading == QUESTION:
        board.draw(axes, None, None, None)
    else:
        confidences = board.grid(trajectory.confidences[reading])
        board.draw(axes, board.answers[reading], confidences, board.wrong(reading))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), CONFIDENCE),
        ax=axes[-1],
        shrink=0.7,
        format=PercentFormatter(1, decimals=0),
    )
    bar.set_label("confidence", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    _draw_halting(figure.add_subplot(spec[1, :]), trajectory, reading)
    return pixels(figure)


def _title(board: Board, trajectory: Trajectory, reading: int) -> str:
    if reading == QUESTION:
        return "the question"
    step, cycle = divmod(reading, trajectory.num_cycles)
    title = f"supervision step {step + 1}, cycle {cycle + 1} of {trajectory.num_cycles}"
    if board.solution is None:
        return title
    return f"{title}, wrong cells: {int(board.wrong(reading).sum())}"


def _draw_halting(axes: Axes, trajectory: Trajectory, reading: int) -> None:
    """Draws the halting probability up to this reading."""
    probabilities = trajectory.halting_probabilities
    steps = np.arange(1, len(probabilities) + 1) / trajectory.num_cycles
    shown = slice(reading + 1)
    axes.fill_between(steps[shown], probabilities[shown], color="#C8DCEB")
    axes.plot(steps[shown], probabilities[shown], "o-", ms=3, lw=1, color="#0072B2")
    axes.axhline(0.5, color="#999999", lw=0.6, ls=":")
    axes.set(xlim=(0, steps[-1] + 0.02), ylim=(-0.05, 1.1), yticks=(0, 1))
    axes.set_yticks((0, 1), ("0%", "100%"))
    axes.set_title("halting probability (above one half, the model halts)", fontsize=8)
    axes.set_xlabel("supervision step", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
