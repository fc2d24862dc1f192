"""Draws and compares runs on a page, `index.html`, with its pictures beside it.

The page is one file that needs no network: learning curves, accuracy by supervision step and by
difficulty, halting, gradients, and animations of solved puzzles. Several runs share the pictures.
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from cgar_jax import model_files, model_loading, runs
from cgar_jax.commands import command_line
from cgar_jax.progress import Status
from cgar_jax.reporting.run_report import ReportOptions, write_report
from cgar_jax.reporting.run_tables import Run

REQUIRED = ("workdir",)
EXAMPLES = (
    "cgar report --workdir=latest",
    "cgar report --workdir=runs/cgar --workdir=runs/trm --output=comparison",
)


def load_runs(workdirs: Sequence[str | os.PathLike]) -> list[Run]:
    """Loads runs, and names each after its folder, or after its path if names are not unique.

    Args:
      workdirs: folders of runs, or anything else that `cgar_jax.load` accepts.

    Raises:
      ValueError: if a folder is given twice.
      OSError: if there is no run or no checkpoint; see also `cgar_jax.load`.
    """
    folders = [model_files.locate(workdir) for workdir in workdirs]
    paths = [folder.absolute().resolve() for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"workdir {path} is given twice; give each run once")
    names = [path.name for path in paths]
    return [
        Run(
            path.name if names.count(path.name) == 1 else str(folder),
            model_loading.load(folder),
            runs.read_metrics(folder),
            runs.read_result(folder),
        )
        for folder, path in zip(folders, paths, strict=True)
    ]


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_workdir(
        "folder of a run, `latest` for the newest one in runs/, or folder of a shared model; "
        "repeat it to compare runs",
        several=True,
    )
    command_line.define_path(
        "output", "folder for index.html and pictures; by default `report` in the first workdir"
    )
    flags.DEFINE_integer("num_puzzles", 500, "largest number of test puzzles to solve")
    flags.DEFINE_integer(
        "num_minibatches",
        32,
        "number of minibatches for the gradients, 2 or more; 0 leaves gradients out",
    )


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    options = ReportOptions(values.num_puzzles, values.num_minibatches)
    with Status() as status:
        status.update("loading the runs")
        loaded = load_runs(values.workdir)
        folder = values.output or model_files.locate(values.workdir[0]) / "report"
        folder = runs.make_folder(pathlib.Path(folder), "output")
        page = write_report(loaded, folder, options, status.update)
    print(f"open {page}")
