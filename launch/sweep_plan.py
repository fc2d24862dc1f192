"""The runs of a sweep: read from a config file, checked, and looked up on disk.

`sweep.py` runs them. Nothing here starts a process or loads JAX.
"""

import dataclasses
import inspect
import json
import os
import pathlib
import runpy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from absl import flags

from cgar_jax.commands.command_line import (
    default_workdir,
    define_config,
    find_config,
    read_flags,
)
from cgar_jax.config_values import stored_config


@dataclasses.dataclass
class Run:
    """One run of a sweep.

    Attributes:
      arguments: arguments of the trainer.
      config: the config that the arguments describe.
      workdir: folder of the run.
      differences: values of the settings in which the runs of the sweep differ.
      code: exit code, if the run ended during this sweep.
    """

    arguments: list[str]
    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    differences: dict[str, Any] = dataclasses.field(default_factory=dict)
    code: int | None = None

    @property
    def name(self) -> str:
        """The settings that distinguish this run from the others."""
        return " ".join(f"{key}={value}" for key, value in self.differences.items())

    def command(self, *more: str) -> list[str]:
        """Returns the command that trains this run, which also works outside the sweep."""
        trainer = [sys.executable, "-u", "-m", "cgar_jax", "train"]
        return [*trainer, *self.arguments, f"--workdir={self.workdir}", *more]

    def result(self) -> dict[str, Any]:
        """Returns the contents of `result.json`; empty unless it belongs to these settings."""
        try:
            saved = json.loads((self.workdir / "config.json").read_text(encoding="utf-8"))
            result = json.loads((self.workdir / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        wanted = stored_config(self.config)
        return result if all(saved.get(key) == wanted[key] for key in wanted) else {}

    def step(self) -> int:
        """Returns the last step in `metrics.jsonl`; 0 if there is none."""
        try:
            lines = (self.workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return 0
        # A killed run may have left half a line.
        whole = (line for line in reversed(lines) if line.endswith("}"))
        return next((json.loads(line)["step"] for line in whole), 0)

    def status(self) -> str:
        """Returns the progress of the run in words."""
        if self.result():
            return "finished"
        if self.code not in (None, 0, 130, 143):
            return f"failed with exit code {self.code}"
        step = self.step()
        return f"step {step} of {self.config.training.steps}" if step else "not started"


@dataclasses.dataclass(frozen=True)
class _Listing:
    """A config file with a sweep.

    Attributes:
      file: path of the config file.
      chosen: argument of `get_config` that the command line gives after a colon; may be empty.
      parameter: parameter of `get_config`, or None.
      overrides: for each run, the settings that it changes.
    """

    file: str
    chosen: str
    parameter: inspect.Parameter | None
    overrides: list[Mapping[str, Any]]

    def is_argument(self, key: str) -> bool:
        """Whether a key is the parameter of `get_config` rather than a setting."""
        return self.parameter is not None and key == self.parameter.name


def read_sweep(arguments: Sequence[str]) -> tuple[list[Run], pathlib.Path]:
    """Reads the runs of a sweep and checks their settings.

    Args:
      arguments: arguments of the trainer that all runs share. The config is the first of them, or
        follows `--config=`.

    Returns:
      The runs, and the path of their table.

    Raises:
      ValueError: if the config has no sweep or an empty one, a setting does not exist, or two runs
        are the same.
    """
    name, shared = _take(arguments, "config")
    folder, shared = _take(shared, "workdir")
    folder = folder and os.path.expanduser(folder)
    if name is None and shared and not shared[0].startswith("-"):
        name = shared.pop(0)
    if name is None:
        raise ValueError("name the config after --, for example: -- sudoku_mini")
    listing = _read_listing(find_config(name))
    _check_overrides(listing, shared)
    runs = []
    for index, overrides in enumerate(listing.overrides):
        try:
            runs.append(_read_run(listing, overrides, shared, folder))
        except ValueError as error:
            raise ValueError(f"run {index} of the sweep, {overrides}: {error}") from error
    _check_distinct(runs, listing.overrides)
    _set_differences(runs, listing)
    table = pathlib.Path(folder or runs[0].workdir.parent)
    return runs, table / f"{pathlib.Path(listing.file).stem}.csv"


def _take(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """Returns the value of `--name=VALUE`, and the other arguments."""
    if f"--{name}" in arguments:
        raise ValueError(f"write --{name}=VALUE, with an equals sign")
    start = f"--{name}="
    values = [each.removeprefix(start) for each in arguments if each.startswith(start)]
    return values[-1] if values else None, [a for a in arguments if not a.startswith(start)]


def _read_listing(path: str) -> _Listing:
    file, _, chosen = path.partition(":")
    module = runpy.run_path(file)
    if "get_sweep" not in module:
        raise ValueError(f"{file} has no function get_sweep that lists the runs of a sweep")
    overrides = module["get_sweep"]()
    if not isinstance(overrides, list) or not all(isinstance(each, Mapping) for each in overrides):
        raise ValueError(f"get_sweep of {file} must return a list of dicts")
    if not overrides:
        raise ValueError(f"get_sweep of {file} returned an empty list; expected at least one run")
    parameters = inspect.signature(module["get_config"]).parameters.values()
    return _Listing(file, chosen, next(iter(parameters), None), overrides)


def _check_overrides(listing: _Listing, shared: Sequence[str]) -> None:
    """Checks that the command line sets nothing that the sweep varies."""
    fixed = {each.partition("=")[0].removeprefix("--config.") for each in shared}
    if listing.chosen and listing.parameter:
        fixed.add(listing.parameter.name)
    for overrides in listing.overrides:
        if twice := sorted(fixed & set(overrides)):
            raise ValueError(
                f"{twice[0]} is set on the command line and by the sweep of {listing.file}; "
                "remove one of them"
            )


def _read_run(
    listing: _Listing, overrides: Mapping[str, Any], shared: Sequence[str], folder: str | None
) -> Run:
    """Makes one run, and checks its settings in the same way as the trainer."""
    chosen, settings = listing.chosen, dict(overrides)
    for key in list(settings):
        if listing.is_argument(key):
            chosen = str(settings.pop(key))
    config = f"--config={listing.file}:{chosen}" if chosen else f"--config={listing.file}"
    arguments = [config, *shared, *(f"--config.{key}={value}" for key, value in settings.items())]
    argv = ["sweep", *arguments]
    values = flags.FlagValues()
    define_config(values=values, argv=argv)
    if unexpected := read_flags(values, argv)[1:]:
        raise ValueError(f"unexpected arguments {unexpected}; options are --NAME=VALUE")
    workdir = default_workdir(listing.file, values.config)
    if folder:
        workdir = pathlib.Path(folder) / workdir.name
    return Run(arguments, values.config, workdir)


def _check_distinct(runs: Sequence[Run], overrides: Sequence[Mapping[str, Any]]) -> None:
    """Checks that no two runs share a folder, whose name depends on all settings."""
    seen = {}
    for index, run in enumerate(runs):
        first = seen.setdefault(run.workdir, index)
        if first != index:
            raise ValueError(
                f"runs {first} and {index} of the sweep are the same: "
                f"{overrides[first]} and {overrides[index]}"
            )


def _set_differences(runs: Sequence[Run], listing: _Listing) -> None:
    """Sets `differences` of each run; a default value counts like one that is given."""
    for key in dict.fromkeys(key for overrides in listing.overrides for key in overrides):
        if listing.is_argument(key):
            default = listing.chosen or listing.parameter.default
            values = [overrides.get(key, default) for overrides in listing.overrides]
        else:
            values = [_value_at(run.config, key) for run in runs]
        if len({str(value) for value in values}) > 1:
            for run, value in zip(runs, values, strict=True):
                run.differences[key] = value


def _value_at(config: ml_collections.ConfigDict, key: str) -> Any:
    """Returns the value of a key with dots; an empty string if this config does not have it."""
    for part in key.split("."):
        config = config.get(part, "") if isinstance(config, ml_collections.ConfigDict) else ""
    return config
