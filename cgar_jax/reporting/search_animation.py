"""Animations of a search: one GIF frame for each pass, with the candidates that it left."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cgar_jax.evaluation import SearchEvent, SearchTrajectory
from cgar_jax.reporting.animation import pixels, write_gif
from cgar_jax.reporting.boards import FOUND, GUESS, INK, WRONG, draw_candidates

_COLORS = {
    SearchEvent.ELIMINATION: FOUND,
    SearchEvent.GUESS: GUESS,
    SearchEvent.DEAD_END: WRONG,
    SearchEvent.RESTART: WRONG,
    SearchEvent.SOLVED: "#12742F",
}


def animate_search(trajectory: SearchTrajectory, path: str | os.PathLike) -> None:
    """Writes an animated GIF: the question, then one frame for each pass.

    Small digits are the candidates of a cell. Those that the pass removed are pale; guesses are
    orange. Of more than 60 passes, the first and the last 30 are shown.

    Args:
      trajectory: search for the solution of a Sudoku.
      path: path of the GIF.
    """
    write_gif([_draw_frame(trajectory, number) for number in (-1, *trajectory.excerpt())], path)


def _draw_frame(trajectory: SearchTrajectory, number: int) -> np.ndarray:
    """Draws a pass, or the question for -1; uint8 `[height, width, 3]`."""
    figure = Figure((4.6, 5.6), dpi=100)
    # Fixed places: a layout that adapts to the text would take as long as all the drawing.
    board = figure.add_axes((0.03, 0.19, 0.94, 0.94 * 4.6 / 5.6))
    below = figure.add_axes((0.09, 0.07, 0.87, 0.08))
    board.set(xticks=[], yticks=[])
    question = trajectory.before[0]
    clues, nothing = question.sum(1) == 1, np.zeros(len(question), bool)
    if number < 0:
        draw_candidates(board, clues, question, question, nothing)
        title, color = "the question", INK
    else:
        before, left = trajectory.before[number], trajectory.after[number]
        draw_candidates(board, clues, before, left, trajectory.guessed[number])
        event = trajectory.events[number]
        title, color = f"pass {number + 1} {event}", INK
        if event in (SearchEvent.DEAD_END, SearchEvent.RESTART, SearchEvent.SOLVED):
            color = _COLORS[event]
            board.spines[:].set(color=color, linewidth=4)
    figure.text(0.03, 0.97, title, fontsize=10, color=color)
    _draw_progress(below, trajectory, number)
    return pixels(figure)


def _draw_progress(axes: Axes, trajectory: SearchTrajectory, number: int) -> None:
    """Draws the number of candidates beyond one per cell after each pass so far."""
    num_cells = trajectory.after.shape[1]
    left = np.append(trajectory.before[0].sum(), trajectory.after.sum((1, 2)))
    surplus = np.maximum(left - num_cells, 0)
    passes = np.arange(len(surplus))
    shown = slice(number + 2)
    axes.plot(passes[shown], surplus[shown], lw=0.8, color="#999999", zorder=1)
    colors = [INK, *(_COLORS[event] for event in trajectory.events)]
    axes.scatter(passes[shown], surplus[shown], 14, colors[shown], zorder=2)
    axes.set(xlim=(-0.3, passes[-1] + 0.3), ylim=(-0.08 * surplus[0], 1.1 * surplus[0]))
    axes.set_title("candidates that are still to be removed", fontsize=8)
    axes.set_xlabel("pass", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
