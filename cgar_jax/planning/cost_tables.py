"""Estimates as tables for the terminal."""

import math

from rich.table import Table

from cgar_jax.planning.devices import Device
from cgar_jax.planning.estimate import Estimate
from cgar_jax.progress import duration

# The share of a GPU's memory that JAX reserves by default (XLA_PYTHON_CLIENT_MEM_FRACTION).
DEFAULT_RESERVATION = 0.75


def tables(estimate: Estimate, title: str) -> list[Table]:
    """Returns all tables of an estimate.

    Args:
      estimate: the estimate.
      title: title of the first table.
    """
    measured = [_measurement_table(estimate)] if estimate.measurement else []
    shown = [_run_table(estimate, title), *measured, _stage_table(estimate)]
    shown.append(_memory_table(estimate))
    if estimate.costs.transfers:
        shown.append(_transfer_table(estimate))
    return shown


def fits(needed: float, device: Device) -> str:
    """Describes whether the memory of a device is large enough.

    Args:
      needed: bytes needed on each device.
      device: kind of the devices.
    """
    if needed > device.memory:
        return "does not fit; use more devices or a larger training.microbatches"
    if needed > DEFAULT_RESERVATION * device.memory:
        return f"tight: more than the {DEFAULT_RESERVATION:.0%} that JAX reserves on a GPU"
    return "fits"


def _run_table(estimate: Estimate, title: str) -> Table:
    costs, device = estimate.costs, estimate.device
    share = costs.batch_size // math.prod(costs.mesh.values())
    rows = {
        "parameters": f"{costs.parameters:,}",
        "mesh": " x ".join(f"{name} {size}" for name, size in costs.mesh.items()),
        "batch size": f"{costs.batch_size:,} ({share:,} per device)",
        "memory per device": f"{_bytes(costs.memory_bytes)} of {_bytes(device.memory)}: "
        + fits(costs.memory_bytes, device),
        "training time": f"{duration(costs.train_seconds)}, without compilation and evaluation",
        "examples/s": f"{costs.examples_per_second:,.0f}",
    }
    return _two_columns(title, rows)


def _measurement_table(estimate: Estimate) -> Table:
    found = estimate.measurement
    examples = "1 example" if found.num_examples == 1 else f"{found.num_examples:,} examples"
    rows = {
        "network, forward and backward": f"{found.flops_per_second / 1e9:,.3g} GFLOP/s "
        f"({examples}, {found.dtype})",
        "memory bandwidth": f"{found.memory_bandwidth / 1e9:,.3g} GB/s "
        f"(elementwise, one state of {_bytes(found.array_bytes)})",
        "memory": _bytes(found.memory),
        "CPUs": f"{found.num_cpus}",
    }
    return _two_columns("this machine, measured", rows)


def _stage_table(estimate: Estimate) -> Table:
    of_what = "measured rate" if estimate.measurement else "peak"
    title = f"one step, at {estimate.utilization:.0%} of the {of_what} (assumed)"
    stages = estimate.costs.stages
    table = Table("", *(f"depth {stage.depth}" for stage in stages), title=title)
    rows = {
        "number of steps": lambda stage: f"{stage.training_steps:,}",
        "model FLOPs": lambda stage: f"{stage.model_flops:.3g}",
        "  with recomputation": lambda stage: f"{stage.hardware_flops:.3g}",
        "compute": lambda stage: duration(stage.compute_seconds),
        "memory traffic, at least": lambda stage: duration(stage.traffic_seconds),
        "communication": lambda stage: duration(stage.communication_seconds),
        "time of a step": lambda stage: duration(stage.step_seconds),
        "bottleneck": lambda stage: stage.bottleneck,
    }
    for name, show in rows.items():
        table.add_row(name, *map(show, stages))
    return table


def _memory_table(estimate: Estimate) -> Table:
    stages = estimate.costs.stages
    table = Table("", *(f"depth {stage.depth}" for stage in stages), title="memory per device")
    for name in stages[0].memory:
        sizes = [stage.memory[name] for stage in stages]
        unknown = name == "training set" and not any(sizes)
        table.add_row(name, *("unknown" if unknown else _bytes(size) for size in sizes))
    table.add_row("total", *(_bytes(stage.memory_bytes) for stage in stages))
    return table


def _transfer_table(estimate: Estimate) -> Table:
    columns = ("arrays", "operation", "size", "devices", "time")
    table = Table(*columns, title="communication per step")
    for each in estimate.costs.transfers:
        time = duration(each.seconds(estimate.device))
        table.add_row(each.what, each.kind, _bytes(each.bytes), str(each.devices), time)
    return table


def _two_columns(title: str, rows: dict[str, str]) -> Table:
    table = Table("", "", title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:,.4g} {unit}"
    return f"{number:.0f} B"
