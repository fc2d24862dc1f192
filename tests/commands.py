"""Running the commands as a user does: in processes of their own, on a config of seconds."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
TINY = [
    "--config=configs/sudoku_mini.py",
    "--config.data.size=4",
    "--config.data.num_clues=6",
    "--config.data.num_train=30",
    "--config.data.num_validation=10",
    "--config.data.num_test=20",
    "--config.batch_size=8",
    "--config.model.num_layers=1",
    "--config.model.hidden_size=16",
    "--config.model.inner_size_multiple=16",
    "--config.curriculum.stages=((1, 1), (2, 2))",
    "--config.curriculum.boundaries=(0.5,)",
    "--config.supervision.max_supervision_steps=2",
    "--config.weighting=(('hierarchical_supervision_weighting', {'num_steps': 2}),)",
    "--config.optimizer.warmup_steps=0",
    "--config.training.steps=40",
    "--config.training.steps_per_dispatch=3",
    "--config.checkpoint.every_steps=10",
    "--config.evaluation.every_steps=20",
]


def start(
    module: str, *arguments: str, cache: pathlib.Path, recompile: bool = False
) -> subprocess.Popen:
    """Starts `python -m module`; its output is one text.

    It sees one device. Data, and unless `recompile` compiled programs, are kept in `cache`.
    """
    environment = os.environ | {"XLA_FLAGS": "", "CGAR_DATA_DIR": str(cache)}
    if not recompile:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": str(cache / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        }
    return subprocess.Popen(
        [sys.executable, "-u", "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(
    module: str, *arguments: str, cache: pathlib.Path, recompile: bool = False
) -> tuple[int, str]:
    """Runs `python -m module` to its end: exit code and output."""
    process = start(module, *arguments, cache=cache, recompile=recompile)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output
