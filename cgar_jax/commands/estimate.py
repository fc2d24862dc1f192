"""Estimates the time, memory and FLOPs of a run before it starts.

Nothing is trained, no data is read, and the devices need not exist here. `--device=cpu` measures
this machine for a few seconds.
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from cgar_jax.commands import command_line
from cgar_jax.planning.cost_tables import tables
from cgar_jax.planning.devices import DEVICES
from cgar_jax.planning.estimate import CPU, OF_MEASURED_RATE, OF_VENDOR_PEAK, estimate
from cgar_jax.progress import Status

ARGUMENTS = "CONFIG"
REQUIRED = ("config", "device")
EXAMPLES = (
    "cgar estimate sudoku_extreme --device=h200 --devices=64",
    "cgar estimate sudoku_mini --device=cpu",
)


def define_flags() -> None:
    """Defines this command's flags."""
    command_line.define_config()
    flags.DEFINE_string(
        "device",
        None,
        f"kind of device: {', '.join(DEVICES)}, or {CPU}, which measures this machine",
    )
    flags.DEFINE_integer("devices", 1, "number of devices")
    flags.DEFINE_float(
        "utilization",
        None,
        "share of the device's FLOPs per second that steps are assumed to reach; by default "
        f"{OF_VENDOR_PEAK} of a vendor's peak, {OF_MEASURED_RATE} of a measured rate",
    )
    flags.DEFINE_integer(
        "num_puzzle_identifiers",
        0,
        "rows of the puzzle table; 0 means as many as the data can need",
    )
    command_line.define_path("json", "file to write the figures to")


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    with Status() as status:
        if values.device == CPU:
            status.update("measuring this machine for a few seconds")
        found = estimate(
            values.config,
            values.device,
            values.devices,
            values.utilization,
            values.num_puzzle_identifiers,
        )
    file = pathlib.Path(config_flags.get_config_filename(values["config"]))
    title = f"{file.name} on {values.devices} x {values.device}"
    Console(highlight=False).print(*tables(found, title))
    if values.json:
        text = json.dumps(found.as_json(), indent=2) + "\n"
        pathlib.Path(values.json).write_text(text, encoding="utf-8")
