"""A missing optional dependency is an error that names the command to install it."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from cgar_jax._core import extras

PROJECT = tomllib.loads((pathlib.Path(__file__).parent.parent / "pyproject.toml").read_text())
OPTIONAL = PROJECT["project"]["optional-dependencies"]
REUSABLE = (
    "losses",
    "weighting",
    "curricula",
    "sampling",
    "scores",
    "optimizers",
    "layers",
    "metrics",
    "contrib",
)


def without(modules, program):
    """Runs a program in a Python that does not have some modules."""
    hiding = f"""
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {tuple(modules)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""
    command = [sys.executable, "-c", hiding + program]
    return subprocess.run(command, capture_output=True, text=True)


def cgar(*words):
    return f"from cgar_jax.commands import cli; cli.main({['cgar', *words]!r})"


def requirements(extra):
    """Names of the packages that an extra adds."""
    names = {re.match(r"[\w.-]+", text).group() for text in OPTIONAL[extra]}
    return {name for name in names if name != "cgar_jax"}


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_the_modules_of_an_extra_are_those_of_its_packages(extra):
    provided = importlib.metadata.packages_distributions()
    installed = {
        re.sub(r"[-_.]+", "-", name).lower(): module
        for module, names in provided.items()
        for name in names
        if module in extras.EXTRAS[extra]
    }
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in requirements(extra)}
    assert len(extras.EXTRAS[extra]) == len(names)
    assert installed.keys() <= names


def test_the_base_install_has_what_the_reusable_rooms_need_and_nothing_else():
    names = {re.match(r"[\w.-]+", text).group() for text in PROJECT["project"]["dependencies"]}
    assert names == {"jax", "optax", "chex", "rax", "flax", "numpy"}


def test_all_has_every_extra_for_users():
    named = set(re.search(r"\[(.*)\]", OPTIONAL["all"][0]).group(1).split(","))
    assert named == {"train", "report", "demo", "notebook", "wandb"}


def test_the_reusable_rooms_need_no_extra():
    # Flax itself depends on Orbax and Rich.
    hidden = {module for modules in extras.EXTRAS.values() for module in modules}
    hidden -= {"orbax", "rich", "absl"}
    done = without(hidden, "\n".join(f"import cgar_jax.{room}" for room in REUSABLE))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["absl", "ml_collections", "orbax", "safetensors", "grain"])
def test_a_command_without_the_trainer_says_what_to_install(module):
    done = without([module], cgar("evaluate", "--workdir=run"))
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"error: the package {module} is not installed; it is part of the extra [train]: "
        "pip install 'cgar_jax[train]'\n"
    )
    assert "Traceback" not in done.stderr


def test_help_needs_no_extra():
    done = without(extras.EXTRAS["train"], cgar("--help"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: cgar COMMAND")


def test_load_without_the_trainer_says_what_to_install():
    done = without(["safetensors"], "import cgar_jax; cgar_jax.load('run')")
    assert "MissingExtraError: the package safetensors is not installed" in done.stderr
    assert "pip install 'cgar_jax[train]'" in done.stderr


def test_report_without_matplotlib_says_what_to_install():
    done = without(["matplotlib"], cgar("report", "--workdir=run"))
    assert done.returncode == 2
    assert "pip install 'cgar_jax[report]'" in done.stderr


@pytest.mark.parametrize("name", ["train", "evaluate", "solve", "rollouts", "export", "convert"])
def test_the_other_commands_need_no_matplotlib(name):
    done = without(extras.EXTRAS["report"], cgar(name, "--help"))
    assert done.returncode == 0, done.stderr


def test_a_module_that_no_extra_provides_is_an_ordinary_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extras.explain_missing():
        import no_such_module  # noqa: F401
