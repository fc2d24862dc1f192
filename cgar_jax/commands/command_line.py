"""Command lines: parsing them, and resolving the configs and folders that they name.

This module imports nothing heavy, so that launchers of commands start at once. An error in a
command line is reported as one sentence on stderr, with exit code 2.
"""

import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from cgar_jax._core.registry import suggestion
from cgar_jax.commands import console, run_list, usage
from cgar_jax.config_values import stored_config

RUNS = pathlib.Path("runs")


# ---- configs by name ----


def config_folder() -> pathlib.Path:
    """Returns the folder of the configs that come with the package.

    An installed package contains them; in a checkout they lie beside it.
    """
    package = pathlib.Path(__file__).parent.parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """Returns the names of the configs that come with the package."""
    return sorted(path.stem for path in config_folder().glob("*.py") if path.stem != "__init__")


def find_config(text: str) -> str:
    """Resolves the name or path of a config to the path of its file.

    Args:
      text: a path, or a name such as "sudoku_mini", optionally followed by a colon and an
        argument of the file's `get_config`, as in "sudoku_mini:trm".

    Returns:
      The path, with the colon and the argument if they were given.

    Raises:
      ValueError: if there is no such config; the message names the nearest.
    """
    name, colon, argument = text.partition(":")
    path = pathlib.Path(name).expanduser()
    if path.is_file():
        return f"{path}{colon}{argument}"
    if path.parent == pathlib.Path() and path.stem in config_names():
        return f"{config_folder() / path.stem}.py{colon}{argument}"
    names = config_names()
    raise ValueError(
        f"there is no config {name!r}; {suggestion(path.stem, names)}give the path of a config "
        f"file, or one of the names {', '.join(names)}"
    )


def default_workdir(config_file: str, config: ml_collections.ConfigDict) -> pathlib.Path:
    """Returns `runs/<name of the config file>-<digest>`, where the digest covers all settings."""
    stored = json.dumps(stored_config(config), sort_keys=True)
    digest = hashlib.sha256(stored.encode()).hexdigest()
    name = pathlib.Path(config_file.split(".py")[0]).name
    return RUNS / f"{name}-{digest[:8]}"


# ---- flags that several commands have ----


class PathParser(flags.ArgumentParser):
    """Parses a path, and expands `~` to the home folder."""

    placeholder = "PATH"

    def parse(self, argument: str) -> str:
        """Returns the path as a string."""
        return str(pathlib.Path(argument).expanduser()) if argument.startswith("~") else argument


class WorkdirParser(PathParser):
    """Parses the folder of a run; `latest` is the newest run of `runs`.

    More generally, `FOLDER/latest` is the newest run in FOLDER.
    """

    placeholder = "DIR"

    def parse(self, argument: str) -> str:
        """Returns the path as a string."""
        path = pathlib.Path(super().parse(argument))
        if path.name != "latest" or path.exists():
            return super().parse(argument)
        folder = path.parent if path.parent != pathlib.Path() else RUNS
        found = run_list.find_runs(folder)
        if not found:
            raise ValueError(
                f"there is no run in the folder {folder}; `cgar train sudoku_mini` starts one"
            )
        return str(found[0].folder)


class OverrideChecker(flags.ArgumentParser):
    """Parses a config, and checks that it has every key that the command line overrides.

    Args:
      parser: parser of the config flag, from the path of a file to the config.
      argv: the command line; None means the one of this process.
    """

    def __init__(self, parser: flags.ArgumentParser, argv: Sequence[str] | None = None):
        self._parser, self._argv = parser, argv

    def parse(self, argument: str) -> ml_collections.ConfigDict:
        """Returns the config.

        Raises:
          AttributeError: if it lacks an overridden key; the message lists the keys that it has.
        """
        config = self._parser.parse(argument)
        for word in sys.argv if self._argv is None else self._argv:
            match = re.match(r"--?(?:no)?config\.([^=[]+)", word)
            if match and isinstance(config, ml_collections.ConfigDict):
                _check_override(config, match[1])
        return config


def _check_override(config: ml_collections.ConfigDict, key: str) -> None:
    path, group = "config", config
    for name in key.split("."):
        if not isinstance(group, ml_collections.ConfigDict):
            raise AttributeError(f"{path} is {group!r}, so there is no {path}.{name}")
        if name not in group:
            hint = suggestion(name, group)
            raise AttributeError(
                f"{path} has no key {name!r}; {hint}its keys are {', '.join(group)}"
            )
        path, group = f"{path}.{name}", group[name]


def define_config(
    help: str = "name or path of the config",
    values: flags.FlagValues = flags.FLAGS,
    argv: Sequence[str] | None = None,
) -> None:
    """Defines the flag `config`, with overrides `--config.KEY=VALUE`.

    Args:
      help: its description.
      values: the flags that it becomes one of.
      argv: the command line with the overrides; None means the one of this process.
    """
    config_flags.DEFINE_config_file("config", None, help, values, lock_config=True, sys_argv=argv)
    values["config"].parser = OverrideChecker(values["config"].parser, argv)


def define_path(name: str, help: str, default: str | None = None) -> None:
    """Defines a flag whose value is a path."""
    flags.DEFINE(PathParser(), name, default, help)


def define_workdir(
    help: str = "folder of a run, `latest` for the newest one in runs/, folder of a shared model, "
    "or its name OWNER/NAME on the Hugging Face hub",
    several: bool = False,
) -> None:
    """Defines the flag `workdir`.

    Args:
      help: its description.
      several: whether the flag may be repeated; its value is then a list.
    """
    if several:
        flags.DEFINE_multi(WorkdirParser(), flags.ArgumentSerializer(), "workdir", None, help)
    else:
        flags.DEFINE(WorkdirParser(), "workdir", None, help)


# ---- parsing ----


def parse_command(
    interface: usage.Interface, words: Sequence[str]
) -> tuple[flags.FlagValues, list[str]]:
    """Parses the command line of a command; with `--help`, prints the help text and exits.

    Args:
      interface: the command.
      words: the words after the name of the command.

    Returns:
      The flags, and the arguments that are not flags.
    """
    console.protect()
    values = flags.FLAGS
    before = set(values)
    interface.define_flags()
    if any(word in ("-h", "-help", "--help", "--helpfull") for word in words):
        defined = {name: values[name] for name in values if name not in before}
        print(usage.help_text(interface, defined, config_names()), end="")
        sys.exit()
    try:
        if interface.takes_config:
            words = _with_config_flag(words)
        sys.argv[1:] = words  # where the config flag looks for overrides
        arguments = read_flags(values, [interface.name, *words])[1:]
        _check_complete(interface, values, arguments)
    except ValueError as error:
        leave(f"error: {error} (`{interface.name} --help` lists the options)", 2)
    _log_only_warnings(values)
    return values, arguments


def read_flags(values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Parses a command line; returns the words that are not flags.

    Args:
      values: the flags that are defined; if "config" is among them, its file is loaded.
      argv: the name of the program, then its arguments. `--config` takes names too.

    Raises:
      ValueError: if the command line is wrong; the message is one line. For a setting that the
        config does not have, it names the nearest one.
    """
    argv = _with_config_path(argv) if "config" in values else list(argv)
    try:
        rest = values(argv)
        if "config" in values and values["config"].present:
            values.config.lock()  # raises the error of a config file that could not be loaded
    except (flags.Error, AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        # ml_collections wraps its message in a repr and a traceback; the last line is the message.
        text = str(error).replace("\\n", "\n")
        lines = (text.strip("'") if text.startswith("'") else text).splitlines()
        messages = [line.strip() for line in lines if line.strip() and "--help" not in line]
        raise ValueError(messages[-1]) from error
    return rest


def leave(message: str, code: int) -> NoReturn:
    """Ends the process with a message on stderr."""
    print(message, file=sys.stderr)
    sys.exit(code)


def _with_config_flag(words: Sequence[str]) -> list[str]:
    """Moves the config to the front, as a flag: overrides are parsed after their config."""
    words, chosen = list(words), None
    for index, word in enumerate(words):
        if word in ("--config", "-config") and index + 1 < len(words):
            chosen = words[index + 1]
            del words[index : index + 2]
            break
        if word.startswith(("--config=", "-config=")):
            chosen = words.pop(index).partition("=")[2]
            break
    else:
        # A word after a flag without a value, such as `--workdir DIR`, belongs to the flag.
        for index, word in enumerate(words):
            before = words[index - 1] if index else ""
            if not word.startswith("-") and (not before.startswith("-") or "=" in before):
                chosen = words.pop(index)
                break
    return words if chosen is None else [f"--config={chosen}", *words]


def _with_config_path(argv: Sequence[str]) -> list[str]:
    """Replaces the names of configs by paths."""
    argv = list(argv)
    for index, word in enumerate(argv):
        for start in ("--config=", "-config="):
            if word.startswith(start):
                argv[index] = f"--config={find_config(word.removeprefix(start))}"
        if word in ("--config", "-config") and index + 1 < len(argv):
            argv[index + 1] = find_config(argv[index + 1])
    return argv


def _check_complete(
    interface: usage.Interface, values: flags.FlagValues, arguments: Sequence[str]
) -> None:
    missing = [name for name in interface.required if values[name].value is None]
    if "config" in missing and interface.takes_config:
        raise ValueError(
            f"{interface.name} needs a CONFIG: the path of a config file, or a name "
            f"({', '.join(config_names())})"
        )
    if missing:
        raise ValueError(f"{interface.name} needs --{' and --'.join(missing)}")
    if arguments and (interface.takes_config or not interface.arguments):
        raise ValueError(f"unexpected arguments {list(arguments)}; options are --NAME=VALUE")


def _log_only_warnings(values: flags.FlagValues) -> None:
    """Logs only warnings, because Orbax logs every file; `--verbosity` overrides this."""
    logging.use_absl_handler()
    if not values["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
