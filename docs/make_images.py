"""Makes the pictures of the README and the documentation.

    python docs/make_images.py --run=runs/FOLDER

It writes

- `docs/images/accuracy_by_flops.png`: at how many training FLOPs each method first reached 90 and
  98 % validation accuracy, for two seeds. The numbers are those of the first table in
  `docs/experiments/time_to_accuracy.md`, which names the command that measures them.
- `docs/images/solving.gif`: a model of `sudoku_mini` at work on a hard puzzle. Of 200 generated
  puzzles with 10 clues (the model was trained on 18) it takes the one that needs the most cycles
  until the right answer stands. The documentation shows the CGAR model of seed 0.
- `docs/images/searching.gif`: the model that comes with the package at work on a 9x9 puzzle. Of 40
  generated puzzles it takes the one that needs the most passes of those with at most 20.
"""

import argparse
import pathlib

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import cgar_jax
from cgar_jax.data import sudoku

DOCS = pathlib.Path(__file__).parent
IMAGES, TABLE = DOCS / "images", DOCS / "experiments" / "time_to_accuracy.md"
TARGETS = (90, 98)  # percent, in the order of the columns of the table
# The first words of a row, its label and its color.
METHODS = {
    "plain TRM": ("plain TRM, full depth throughout", "#0072B2"),
    "CGAR, as published": ("CGAR, as published", "#D55E00"),
    "PDC |": ("only the depth curriculum (PDC)", "#009E73"),
    "PDC, deeper at plateaus": ("PDC, deeper at plateaus", "#CC79A7"),
}


def flops_to_targets(row: str) -> list[list[float]]:
    """Reads the TFLOPs to each target from the table, one list per seed.

    Args:
      row: the first words of a row.
    """
    lines = TABLE.read_text().replace("**", "").splitlines()
    cells = next(line for line in lines if line.startswith(f"| {row}")).split("|")[2:4]
    by_target = [cell.split("/") for cell in cells]
    return [list(map(float, seed)) for seed in zip(*by_target, strict=True)]


def draw_accuracy(path: pathlib.Path) -> None:
    """Draws the accuracies that each method reached against the FLOPs it had spent."""
    figure = Figure((6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for row, (_, color) in METHODS.items():
        for seed, flops in enumerate(flops_to_targets(row)):
            axes.plot(flops, TARGETS, "o-", color=color, alpha=1 - 0.4 * seed)
    axes.set(
        xlabel="training FLOPs (10\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO})",
        ylabel="validation accuracy reached (%)",
        xlim=(0, None),
        yticks=TARGETS,
    )
    axes.margins(y=0.15)
    axes.grid(color="#e3e8ef")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [Line2D([], [], color=color, label=label) for label, color in METHODS.values()]
    figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=2)
    axes.set_title("6x6 Sudoku: two targets, two seeds per method", fontsize=11, loc="left")
    figure.savefig(path, dpi=150, metadata={"Software": None})


def animate(run: pathlib.Path, path: pathlib.Path) -> None:
    """Animates the model on the puzzle for which it needs the most cycles."""
    model = cgar_jax.load(run)
    puzzles = sudoku.generate(sudoku.Grid.of_size(6), range(200), seed=11, num_clues=10)
    lengths = {}
    for index, puzzle in enumerate(puzzles):
        found = model.trajectory(puzzle.question).until_settled()
        if model.accepts(puzzle.question[None], found.answers[-1:])[0]:
            lengths[index] = len(found.answers)
    hardest = max(lengths, key=lengths.get)
    print(f"puzzle {hardest} is solved after {lengths[hardest]} cycles")
    model.animate(puzzles[hardest].question, path, solution=puzzles[hardest].answer)


def animate_search(path: pathlib.Path) -> None:
    """Animates the search of the pretrained model on a puzzle that takes up to 20 passes."""
    model = cgar_jax.load()
    puzzles = sudoku.generate(sudoku.Grid.of_size(9), range(40), seed=11, min_difficulty=5)
    passes = [len(model.trajectory(puzzle.question).events) for puzzle in puzzles]
    chosen = int(np.argmax([num if num <= 20 else 0 for num in passes]))
    print(f"puzzle {chosen} is solved in {passes[chosen]} passes")
    model.animate(puzzles[chosen].question, path)


def main() -> None:
    """Runs the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=pathlib.Path, required=True, help="run of sudoku_mini")
    run = parser.parse_args().run
    IMAGES.mkdir(exist_ok=True)
    draw_accuracy(IMAGES / "accuracy_by_flops.png")
    animate(run, IMAGES / "solving.gif")
    animate_search(IMAGES / "searching.gif")


if __name__ == "__main__":
    main()
