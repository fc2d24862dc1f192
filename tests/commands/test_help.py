"""Help, errors and completion: what `cgar` says before it does any work."""

import re
import subprocess
import sys

import pytest

import cgar_jax
from cgar_jax.commands import cli
from tests import running as commands

SHELLS = ("bash", "zsh", "fish")


def cgar(*arguments):
    """Runs the command line in a fresh Python, which has imported nothing."""
    command = [sys.executable, "-m", "cgar_jax", *arguments]
    return subprocess.run(command, cwd=commands.ROOT, capture_output=True, text=True)


def test_help_lists_every_command_and_shows_an_example():
    done = cgar("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +\w", done.stdout, re.MULTILINE), name
    assert "  cgar train sudoku_mini\n" in done.stdout
    assert "cgar completion" in done.stdout


def test_help_imports_no_library():
    program = (
        "import sys; from cgar_jax.commands import cli; cli.overview();"
        "print(*{'absl', 'jax', 'numpy', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "", done.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_has_usage_options_and_an_example(name, cache):
    code, output = commands.run(name, "--help", cache=cache)
    assert code == 0, output
    assert output.startswith(f"usage: cgar {name} ")
    assert f"\nExamples:\n  cgar {name}" in output
    if name != "completion":
        assert re.search(r"\n  --[\w\[]", output)
    assert "--verbosity" not in output  # the flags of libraries would bury those of the command


def test_options_are_grouped_and_show_their_defaults(cache):
    _, output = commands.run("solve", "--help", cache=cache)
    assert "\nThinking longer:\n" in output
    assert re.search(r"--num_rollouts=N +number of rollouts.*\(default: 1\)", output)
    assert "--stop=verified|first_halting|halting|budget" in output
    assert re.search(r"--workdir=DIR ", output)


def test_help_names_the_configs_and_their_overrides(cache):
    _, output = commands.run("train", "--help", cache=cache)
    assert "usage: cgar train CONFIG [OPTIONS]" in output
    assert "sudoku_extreme_attention," in output
    assert "--config.KEY=VALUE" in output


def test_without_a_command_it_prints_help_and_fails():
    done = cgar()
    assert done.returncode == 2
    assert done.stdout.startswith("usage: cgar COMMAND")


def test_an_unknown_command_is_an_error_that_names_the_nearest():
    done = cgar("trian", "sudoku_mini")
    assert done.returncode == 2
    assert done.stderr == "error: there is no command 'trian'; did you mean 'train'?\n"


def test_the_version_is_printed():
    assert cgar("--version").stdout == f"cgar_jax {cgar_jax.__version__}\n"


@pytest.fixture(scope="module")
def scripts(cache):
    """The completion script of each shell."""
    found = {}
    for shell in SHELLS:
        code, found[shell] = commands.run("completion", shell, cache=cache)
        assert code == 0, found[shell]
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_knows_commands_options_and_configs(scripts, shell):
    for word in ("check-data", "num_rollouts", "sudoku_mini"):
        assert word in scripts[shell]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("cgar tra", "train"),
        ("cgar train sudoku_m", "sudoku_mini"),
        ("cgar solve --num", "--num_rollouts="),
        ("cgar completion z", "zsh"),
    ],
)
def test_bash_completes_words(scripts, typed, completed, tmp_path):
    (tmp_path / "cgar").write_text(scripts["bash"])
    words = typed.split()
    program = f"""
source {tmp_path}/cgar
compopt() {{ :; }}  # exists only during completion
COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1}
_cgar
echo "${{COMPREPLY[*]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert done.stdout == f"{completed}\n", done.stderr


def test_an_unknown_shell_is_an_error_that_lists_the_known_ones(cache):
    code, output = commands.run("completion", "tcsh", cache=cache)
    assert code == 2
    assert "expected one SHELL of bash, zsh, fish, found ['tcsh']" in output
