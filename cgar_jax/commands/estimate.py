"""What a run would cost: `cgar estimate --config=FILE.py --device=h200 --devices=64`.

Nothing is trained and no data is read; the devices need not be there. The figures are worked out
from the config by `cgar_jax.planning.costs`, and from what the device's maker says of it.
"""

import dataclasses
import json
import math
import pathlib
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from cgar_jax import data, experiment
from cgar_jax.commands import runner as command
from cgar_jax.planning import costs
from cgar_jax.planning.devices import DEVICES, Device, device

# What JAX takes of a GPU's memory unless it is told otherwise, XLA_PYTHON_CLIENT_MEM_FRACTION.
USUAL_SHARE = 0.75


def estimate(
    config: ml_collections.ConfigDict,
    kind: Device,
    num_devices: int = 1,
    utilization: float = 0.4,
    num_puzzle_identifiers: int = 0,
) -> costs.Costs:
    """What the run that a config describes will cost on so many devices.

    Args:
      config: as `cgar_jax.config.default_config`; `config.mesh` lays out the devices.
      kind: of the devices.
      num_devices: there are.
      utilization: share of the peak, see `costs.costs`.
      num_puzzle_identifiers: rows of the puzzle table; 0 for as many as there may be.

    Raises:
      ValueError: a setting is wrong, or does not fit the devices.
    """
    if num_devices < 1:
        raise ValueError(f"--devices={num_devices}; expected 1 or more")
    if num_puzzle_identifiers < 0:
        raise ValueError(f"--num_puzzle_identifiers={num_puzzle_identifiers}; expected 0 or more")
    task, num_train = expected_task(config.data, num_puzzle_identifiers)
    pieces = experiment.build(config, task, num_devices)
    return costs.costs(pieces, kind, utilization, num_train)


def expected_task(
    config: ml_collections.ConfigDict, num_puzzle_identifiers: int = 0
) -> tuple[experiment.Task, int]:
    """The task that a config's data pose, and how many training examples there are; none is read.

    Args:
      config: of the data.
      num_puzzle_identifiers: rows of the puzzle table; 0 for as many as there may be.
    """
    expected = data.expected(config)
    identifiers = num_puzzle_identifiers or expected.num_puzzle_identifiers
    task = experiment.Task(expected.vocab_size, expected.sequence_length, identifiers)
    return task, expected.num_train


def run_table(result: costs.Costs, kind: Device, title: str) -> Table:
    """The figures of the run as a whole."""
    most = max(result.stages, key=lambda stage: stage.memory_bytes)
    share = result.batch_size // math.prod(result.mesh.values())
    rows = {
        "parameters": f"{result.parameters:,}",
        "mesh": " x ".join(f"{name} {size}" for name, size in result.mesh.items()),
        "batch": f"{result.batch_size:,}, on each device {share:,}",
        "memory per device": f"{_bytes(most.memory_bytes)} of {_bytes(kind.memory)}: "
        + fits(most.memory_bytes, kind),
        "time to train": f"{_duration(result.train_seconds)}, if all goes as assumed",
        "examples/s": f"{result.examples_per_second:,.0f}",
    }
    table = Table("", "", title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def fits(needed: float, kind: Device) -> str:
    """Says in words whether so many bytes fit the device's memory."""
    if needed > kind.memory:
        return "does not fit; more devices, or a larger training.microbatches, need less on each"
    if needed > USUAL_SHARE * kind.memory:
        return f"tight, more than the {USUAL_SHARE:.0%} that JAX takes of a GPU by itself"
    return "fits"


def stage_table(result: costs.Costs, utilization: float) -> Table:
    """What a step costs in each stage of the curriculum."""
    columns = (f"depth {stage.depth}" for stage in result.stages)
    table = Table("one step", *columns, title=f"steps, at {utilization:.0%} of the peak (assumed)")
    rows = {
        "steps": lambda stage: f"{stage.num_steps:,}",
        "model FLOPs": lambda stage: f"{stage.model_flops:.3g}",
        "  with recomputation": lambda stage: f"{stage.hardware_flops:.3g}",
        "computing": lambda stage: _milliseconds(stage.compute_seconds),
        "memory traffic, at least": lambda stage: _milliseconds(stage.traffic_seconds),
        "communication": lambda stage: _milliseconds(stage.communication_seconds),
        "step": lambda stage: _milliseconds(stage.step_seconds),
        "bottleneck": lambda stage: stage.bottleneck,
    }
    for name, show in rows.items():
        table.add_row(name, *map(show, result.stages))
    return table


def memory_table(result: costs.Costs) -> Table:
    """What is in each device's memory, in each stage."""
    columns = (f"depth {stage.depth}" for stage in result.stages)
    table = Table("memory per device", *columns, title="memory")
    for name in result.stages[0].memory:
        sizes = [stage.memory[name] for stage in result.stages]
        unknown = name == "training set" and not any(sizes)
        table.add_row(name, *("not known" if unknown else _bytes(size) for size in sizes))
    table.add_row("all", *(_bytes(stage.memory_bytes) for stage in result.stages))
    return table


def transfer_table(result: costs.Costs, kind: Device) -> Table:
    """What devices say to each other in a step."""
    table = Table("once a step", "", "bytes", "devices", "time", title="communication")
    for transfer in result.transfers:
        time = _milliseconds(transfer.seconds(kind))
        size = _bytes(transfer.bytes)
        table.add_row(transfer.what, transfer.kind, size, str(transfer.devices), time)
    return table


def figures(result: costs.Costs, kind: Device) -> dict[str, Any]:
    """All figures, for JSON: bytes and seconds."""
    shown = ("memory_bytes", "step_seconds", "bottleneck")
    stages = [
        dataclasses.asdict(stage)
        | {"depth": str(stage.depth)}
        | {name: getattr(stage, name) for name in shown}
        for stage in result.stages
    ]
    transfers = [one._asdict() | {"seconds": one.seconds(kind)} for one in result.transfers]
    whole = ("parameters", "mesh", "batch_size", "memory_bytes", "train_seconds")
    return {name: getattr(result, name) for name in whole} | {
        "examples_per_second": result.examples_per_second,
        "device_memory_bytes": kind.memory,
        "stages": stages,
        "transfers": transfers,
    }


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:,.4g} {unit}"
    return f"{number:.0f} B"


def _duration(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    return f"{hours:.1f} hours" if hours >= 1 else f"{minutes:.1f} minutes"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.3g} ms"


def define_flags() -> None:
    """Defines those of the command."""
    config_flags.DEFINE_config_file(
        "config", None, "File that describes the experiment.", lock_config=True
    )
    flags.DEFINE_string("device", None, f"Kind of device: {', '.join(DEVICES)}.")
    flags.DEFINE_integer("devices", 1, "How many devices there are.")
    flags.DEFINE_float(
        "utilization", 0.4, "Share of its peak at which a device is assumed to compute."
    )
    flags.DEFINE_integer(
        "num_puzzle_identifiers", 0, "Rows of the puzzle table; by default as many as there may be."
    )
    flags.DEFINE_string("json", None, "File to write the figures to.")


def main(values: flags.FlagValues) -> None:
    """The command."""
    kind = device(values.device)
    result = estimate(
        values.config, kind, values.devices, values.utilization, values.num_puzzle_identifiers
    )
    file = pathlib.Path(config_flags.get_config_filename(values["config"]))
    console = Console(highlight=False)
    console.print(run_table(result, kind, f"{file.name} on {values.devices} x {values.device}"))
    console.print(stage_table(result, values.utilization), memory_table(result))
    if result.transfers:
        console.print(transfer_table(result, kind))
    if values.json:
        pathlib.Path(values.json).write_text(json.dumps(figures(result, kind), indent=2) + "\n")


if __name__ == "__main__":
    command.main(define_flags, main, required=["config", "device"])
