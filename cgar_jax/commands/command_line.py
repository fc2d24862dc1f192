"""Command lines: reading them, telling what is wrong with them, and the folder they mean.

It imports nothing heavy, so that launchers of commands start at once.
"""

import hashlib
import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import ml_collections
from absl import flags, logging


def default_workdir(config_file: str, config: ml_collections.ConfigDict) -> pathlib.Path:
    """`runs/<name of the config file>-<digest>`: other settings, another folder."""
    digest = hashlib.sha256(config.to_json_best_effort(sort_keys=True).encode()).hexdigest()
    name = pathlib.Path(config_file.split(".py")[0]).name
    return pathlib.Path("runs") / f"{name}-{digest[:8]}"


def read_flags(values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Parses a command line; returns what is not a flag.

    Args:
      values: the flags there are; where "config" is among them, its file is loaded.
      argv: the name of the program, then its arguments.

    Raises:
      ValueError: something is wrong with it, in one line. A key that the config does not have is
        an error that names the nearest one.
    """
    try:
        rest = values(list(argv))
        if "config" in values:
            values.config.lock()  # a config file that could not be loaded says so here
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        # ml_collections wraps its message in a repr and a traceback; the last line tells it.
        text = str(error).replace("\\n", "\n")
        lines = (text.strip("'") if text.startswith("'") else text).splitlines()
        said = [line.strip() for line in lines if line.strip() and "--help" not in line]
        raise ValueError(said[-1]) from error
    return rest


def parse_flags(argv: Sequence[str]) -> list[str]:
    """What `absl.app.run` needs to parse a command line; says what is wrong with it in one line."""
    try:
        rest = read_flags(flags.FLAGS, argv)
    except ValueError as error:
        leave(f"error: {error}", 2)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Orbax reports every file it writes
    return rest


def leave(message: str, code: int) -> NoReturn:
    """Ends the process with a message on stderr."""
    print(message, file=sys.stderr)
    sys.exit(code)
