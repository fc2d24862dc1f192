"""Makes the pictures of the README and the documentation.

    python docs/make_images.py --runs=runs/images

First it trains `sudoku_mini` by several methods with two seeds each, one after the other, unless
these runs exist already: about ten minutes on two quiet CPU cores. Then it writes

- `docs/images/accuracy_by_flops.png`: validation accuracy against the FLOPs spent, for every run;
- `docs/images/solving.gif`: the CGAR model of seed 0 at work on a hard puzzle. Of 200 generated
  puzzles with 10 clues (the model was trained on 18) it takes the one that needs the most cycles
  until the right answer stands.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import cgar_jax
from cgar_jax import runs
from cgar_jax.data import sudoku

IMAGES = pathlib.Path(__file__).parent / "images"
METHODS = {
    "trm": ("plain TRM", "#0072B2"),
    "cgar": ("CGAR as published", "#D55E00"),
    "pdc": ("only the depth curriculum", "#009E73"),
    "plateau": ("depth grows at plateaus", "#CC79A7"),
}
SEEDS = (0, 1)


def train(folder: pathlib.Path) -> None:
    """Trains the runs that are missing."""
    for seed in SEEDS:
        for method in METHODS:
            workdir = folder / f"{method}-{seed}"
            if runs.read_result(workdir) is None:
                command = [sys.executable, "-m", "cgar_jax", "train", f"sudoku_mini:{method}"]
                arguments = [f"--config.seed={seed}", "--config.evaluation.every_steps=40"]
                arguments += [f"--workdir={workdir}"]
                subprocess.run([*command, *arguments], check=True)


def draw_accuracy(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Draws validation accuracy against the FLOPs that each run had spent."""
    figure = Figure((6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for method, (_, color) in METHODS.items():
        for seed in SEEDS:
            flops, accuracy = _curve(folder / f"{method}-{seed}")
            axes.plot(flops, accuracy, "o-", ms=3, lw=1.5, color=color, alpha=1 - 0.4 * seed)
    axes.set(xlabel="model FLOPs of training (TFLOP)", ylabel="exact accuracy, validation")
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(color="#e3e8ef")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [Line2D([], [], color=color, label=label) for label, color in METHODS.values()]
    axes.legend(handles=handles, frameon=False, loc="lower right")
    axes.set_title("6x6 Sudoku, two seeds per method", fontsize=11, loc="left")
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _curve(workdir: pathlib.Path) -> tuple[list[float], list[float]]:
    """Returns FLOPs and validation accuracy of a run at each validation, with a point at zero."""
    flops, points = 0.0, [(0.0, 0.0)]
    for entry in runs.read_metrics(workdir):
        flops = entry.get("train_flops", flops)
        if "validation/exact_accuracy" in entry:
            points.append((flops / 1e12, entry["validation/exact_accuracy"]))
    return tuple(map(list, zip(*points, strict=True)))


def animate(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Animates the model on the puzzle for which it needs the most cycles."""
    model = cgar_jax.load(folder / "cgar-0")
    puzzles = sudoku.generate(sudoku.Grid.of_size(6), range(200), seed=11, num_clues=10)
    questions = np.stack([puzzle.question for puzzle in puzzles])
    lengths = {}
    for index, question in enumerate(questions):
        found = model.trajectory(question).until_settled()
        if model.accepts(question[None], found.answers[-1:])[0]:
            lengths[index] = len(found.answers)
    hardest = max(lengths, key=lengths.get)
    print(f"puzzle {hardest} is solved after {lengths[hardest]} cycles")
    model.animate(questions[hardest], path, solution=puzzles[hardest].answer)


def main() -> None:
    """Runs the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=pathlib.Path, required=True, help="folder of the runs")
    folder = parser.parse_args().runs
    train(folder)
    IMAGES.mkdir(exist_ok=True)
    draw_accuracy(folder, IMAGES / "accuracy_by_flops.png")
    animate(folder, IMAGES / "solving.gif")


if __name__ == "__main__":
    main()
