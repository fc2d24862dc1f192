"""The command `cgar`: dispatches to one module per subcommand."""

import runpy
import sys

COMMANDS = {
    name: f"cgar_jax.commands.{name.replace('-', '_')}"
    for name in (
        "train",
        "evaluate",
        "solve",
        "rollouts",
        "report",
        "export",
        "convert",
        "estimate",
        "check-data",
    )
}


def main() -> None:
    """Runs the subcommand that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: cgar NAME [OPTIONS]; NAME is one of {', '.join(COMMANDS)}")
    name = sys.argv.pop(1)
    sys.argv[0] = f"cgar {name}"
    runpy.run_module(COMMANDS[name], run_name="__main__", alter_sys=False)
