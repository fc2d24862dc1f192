"""Runs launch scripts as a user does, with stand-ins for the programs that they call."""

import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import types

from tests import running as commands

ROOT = commands.ROOT
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))


def environment(**more: str) -> dict[str, str]:
    """Returns this process's variables without those for JAX and SLURM.

    `PYTHONPATH` lets a script that runs in another folder import the package of this checkout.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    own = {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "", "PYTHON": sys.executable}
    return kept | own | more


def run(script: str, *arguments: str, cwd: pathlib.Path = ROOT, **more: str) -> tuple[int, str]:
    """Runs a script of this checkout.

    Args:
      script: path of the script in the repository.
      *arguments: arguments of the script.
      cwd: folder in which it runs.
      **more: environment variables.

    Returns:
      The exit code, and everything printed.
    """
    path = ROOT / script
    command = [path] if path.suffix == ".sh" else [sys.executable, path]
    done = subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=800,
    )
    return done.returncode, done.stdout


def run_benchmark(name: str, *arguments: str, **more: str) -> tuple[int, str]:
    """Runs a benchmark on one device, in a process that starts with the library imported.

    Args:
      name: name of the benchmark's file, without its ending.
      *arguments: arguments of the benchmark.
      **more: environment variables.

    Returns:
      The exit code, and everything printed.
    """
    with tempfile.NamedTemporaryFile() as log:
        path = ROOT / "benchmarks" / f"{name}.py"
        process = commands.Forked(pathlib.Path(log.name), _run_benchmark, path, arguments, more)
        return process.wait(), process.output()


def _run_benchmark(path, arguments, variables):
    os.chdir(ROOT)
    os.environ.update({"XLA_FLAGS": commands.HASTY} | variables)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def module(script: str) -> types.ModuleType:
    """Imports a Python script of this checkout."""
    return commands.load(ROOT / script)


def executable(path: pathlib.Path, program: str) -> pathlib.Path:
    """Writes a Python program that can be called by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{program}", encoding="utf-8")
    path.chmod(0o755)
    return path


def stand_in(folder: pathlib.Path, program: str) -> pathlib.Path:
    """Makes a folder in which `python -m cgar_jax train` runs `program`.

    The program finds its arguments in `sys.argv[1:]`. All other modules of `cgar_jax` are those of
    this checkout.
    """
    package = folder / "cgar_jax"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__path__.append({str(ROOT / 'cgar_jax')!r})\n")
    main = f"import sys\nassert sys.argv.pop(1) == 'train'\n{program}"
    (package / "__main__.py").write_text(main)
    return folder
