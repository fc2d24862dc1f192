"""An installed package, which is not a checkout, has everything that the commands need."""

import shutil
import subprocess
import sys

import pytest

from tests import running as commands

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the package is installed, without its dependencies."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in SOURCES:
        shutil.copy(commands.ROOT / name, source)
    for name in ("cgar_jax", "configs"):
        shutil.copytree(commands.ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, f"--target={target}", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def run(installed, folder, *arguments):
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_it_contains_the_configs_and_the_files_of_the_page(installed):
    package = installed / "cgar_jax"
    names = {file.name for file in (commands.ROOT / "configs").glob("*.py")}
    assert {file.name for file in (package / "configs").iterdir()} - {"__pycache__"} == names
    assert (package / "py.typed").exists()
    for pattern in ("*.css", "*.js", "*.html"):
        wanted = {file.name for file in (commands.ROOT / "cgar_jax/demo").glob(pattern)}
        assert {file.name for file in (package / "demo").glob(pattern)} == wanted


def test_it_contains_the_pretrained_model(installed):
    folder = installed / "cgar_jax" / "pretrained" / "sudoku_deduction"
    source = commands.ROOT / "cgar_jax" / "pretrained" / "sudoku_deduction"
    wanted = {file.name for file in source.iterdir()}
    assert {file.name for file in folder.iterdir()} == wanted


def test_a_config_is_found_by_name(installed, tmp_path):
    program = (
        "from cgar_jax.commands.command_line import find_config; print(find_config('sudoku_mini'))"
    )
    done = run(installed, tmp_path, "-c", program)
    assert done.stdout.strip() == str(installed / "cgar_jax/configs/sudoku_mini.py"), done.stderr


def test_a_command_takes_a_config_by_name(installed, tmp_path):
    done = run(installed, tmp_path, "-m", "cgar_jax", "estimate", "sudoku_mini", "--device=h100")
    assert done.returncode == 0, done.stderr
    assert "sudoku_mini.py on 1 x h100" in done.stdout


def test_the_console_script_is_cgar(installed):
    (metadata,) = installed.glob("cgar_jax-*.dist-info")
    assert "cgar = cgar_jax.commands.cli:main" in (metadata / "entry_points.txt").read_text()
    assert (installed / "bin" / "cgar").exists()
