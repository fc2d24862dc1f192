"""The command `cgar`: finds the module of a subcommand, parses its command line and runs it.

Only the chosen subcommand is imported, so that `cgar --help` answers at once and works with the
base install.
"""

import difflib
import importlib
import sys
import threading
from collections.abc import Sequence
from types import ModuleType

import cgar_jax
from cgar_jax._core import extras
from cgar_jax.commands import console

# Headings of `cgar --help`, and under each the subcommands with their summaries.
LISTED = {
    "Train": {
        "train": "train the model that a config describes, or resume its run",
        "estimate": "estimate the time, memory and FLOPs of a run before it starts",
        "check-data": "find near-duplicates between training and test puzzles",
    },
    "Use a trained model": {
        "solve": "solve puzzles and verify every answer",
        "evaluate": "score a model on held-out puzzles",
        "rollouts": "measure accuracy with more steps and noisy rollouts",
        "demo": "serve a web page to play with a model",
    },
    "Look at runs": {
        "runs": "list runs with their state and scores",
        "report": "draw learning curves, accuracies and animations of runs",
    },
    "Share models": {
        "export": "write a run as a folder that others can load",
        "convert": "convert a published PyTorch checkpoint",
    },
    "Set up": {"completion": "print the completion script of a shell"},
}
COMMANDS = {
    name: f"cgar_jax.commands.{name.replace('-', '_')}"
    for summaries in LISTED.values()
    for name in summaries
}
LIGHT = ("runs", "completion")  # these start without importing JAX

HELP = """\
usage: cgar COMMAND [OPTIONS]

Trains tiny recursive reasoning models and solves puzzles with them.

{commands}

Examples:
  cgar train sudoku_mini
  cgar solve --workdir=latest puzzles.txt

`cgar COMMAND --help` lists the options of a command, `cgar --version` prints the version.
`cgar completion bash` (or zsh, fish) prints a completion script; `cgar completion --help` shows
where to put it.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the subcommand that the command line names, and exits with its exit code.

    Args:
      argv: the program's name, then its arguments; by default those of this process.
    """
    console.protect()
    words = list(sys.argv if argv is None else argv)[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"cgar_jax {cgar_jax.__version__}")
        sys.exit()
    name = words[0]
    if name not in COMMANDS:
        sys.exit(_fail(unknown(name)))
    try:
        with extras.explain_missing():
            _run(name, words[1:])
    except extras.MissingExtraError as error:
        sys.exit(_fail(str(error)))


def overview() -> str:
    """Returns the text of `cgar --help`."""
    blocks = [
        "\n".join([f"{heading}:", *(f"  {name:<12}{text}" for name, text in summaries.items())])
        for heading, summaries in LISTED.items()
    ]
    return HELP.format(commands="\n\n".join(blocks))


def unknown(name: str) -> str:
    """Returns the message for a subcommand that does not exist."""
    nearest = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"use one of {', '.join(COMMANDS)}"
    return f"there is no command {name!r}; {hint}"


def _run(name: str, words: Sequence[str]) -> None:
    from cgar_jax.commands import command_line, usage  # absl is part of an extra

    interface = usage.Interface.of(f"cgar {name}", _import(COMMANDS[name]))
    values, arguments = command_line.parse_command(interface, words)
    if name in LIGHT:
        try:
            sys.exit(interface.main(values, arguments))
        except (ValueError, OSError) as error:
            sys.exit(_fail(str(error)))
    from cgar_jax.commands import runner  # imports JAX

    runner.run(lambda: interface.main(values, arguments))


def _import(module: str) -> ModuleType:
    """Imports a module, with a notice on stderr if that takes seconds."""
    notice = threading.Timer(4, print, ["importing JAX"], {"file": sys.stderr, "flush": True})
    notice.daemon = True
    notice.start()
    try:
        return importlib.import_module(module)
    finally:
        notice.cancel()


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
