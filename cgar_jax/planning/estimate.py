"""Estimates the cost of a run from its config and a kind of device.

>>> from cgar_jax.config import default_config
>>> from cgar_jax.planning.estimate import estimate
>>> estimate(default_config(), "h200", num_devices=8).costs.parameters
5028866
"""

import dataclasses
from typing import Any

import ml_collections

from cgar_jax import data, experiment
from cgar_jax._core.registry import check_name
from cgar_jax.planning.costs import Costs, run_costs
from cgar_jax.planning.devices import DEVICES, Device
from cgar_jax.planning.this_machine import Measurement, measure_this_machine

CPU = "cpu"
# Shares of a device's FLOPs per second that training steps are assumed to reach. Vendors state the
# peak of one large product; the measurement of this machine already runs the real network.
OF_VENDOR_PEAK = 0.4
OF_MEASURED_RATE = 0.7


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The estimated cost of a run, and the assumptions behind it.

    Attributes:
      costs: the cost of the run.
      device: the kind of device.
      utilization: assumed share of the device's FLOPs per second.
      measurement: the measurement of this machine, or None for vendor figures.
    """

    costs: Costs
    device: Device
    utilization: float
    measurement: Measurement | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns all figures, in bytes and seconds, ready for JSON."""
        costs = self.costs
        stages = [
            dataclasses.asdict(stage)
            | {"depth": str(stage.depth)}
            | {
                name: getattr(stage, name)
                for name in ("memory_bytes", "step_seconds", "bottleneck")
            }
            for stage in costs.stages
        ]
        transfers = [
            each._asdict() | {"seconds": each.seconds(self.device)} for each in costs.transfers
        ]
        names = ("parameters", "mesh", "batch_size", "memory_bytes", "train_seconds")
        return {name: getattr(costs, name) for name in names} | {
            "examples_per_second": costs.examples_per_second,
            "device_memory_bytes": self.device.memory,
            "utilization": self.utilization,
            "measurement": self.measurement and self.measurement._asdict(),
            "stages": stages,
            "transfers": transfers,
        }


def estimate(
    config: ml_collections.ConfigDict,
    device: str | Device,
    num_devices: int = 1,
    utilization: float | None = None,
    num_puzzle_identifiers: int = 0,
) -> Estimate:
    """Estimates the cost of the run that a config describes; needs neither data nor the devices.

    Args:
      config: a config like `cgar_jax.config.default_config()`; `config.mesh` arranges the devices.
      device: a key of `DEVICES`, "cpu" to measure this machine for a few seconds, or a `Device`.
      num_devices: number of devices.
      utilization: assumed share of the device's FLOPs per second that steps reach; None means
        `OF_VENDOR_PEAK`, or `OF_MEASURED_RATE` for "cpu".
      num_puzzle_identifiers: number of rows of the puzzle table; 0 means the most that the data of
        the config can need.

    Raises:
      ValueError: if the device is unknown, or a setting is invalid or does not fit the devices.
    """
    if num_devices < 1:
        raise ValueError(f"num_devices is {num_devices}; expected 1 or more")
    if num_puzzle_identifiers < 0:
        raise ValueError(f"num_puzzle_identifiers is {num_puzzle_identifiers}; expected 0 or more")
    if not isinstance(device, Device):
        check_name("device", device, [CPU, *DEVICES])
    if device == CPU and num_devices > 1:
        raise ValueError(f"device 'cpu' is this machine; expected 1 device, not {num_devices}")
    task, num_train = expected_task(config.data, num_puzzle_identifiers)
    built = experiment.build(config, task, num_devices)
    measurement = measure_this_machine(built) if device == CPU else None
    if utilization is None:
        utilization = OF_MEASURED_RATE if measurement else OF_VENDOR_PEAK
    if measurement:
        kind = measurement.device
    else:
        kind = device if isinstance(device, Device) else DEVICES[device]
    return Estimate(run_costs(built, kind, utilization, num_train), kind, utilization, measurement)


def expected_task(
    config: ml_collections.ConfigDict, num_puzzle_identifiers: int = 0
) -> tuple[experiment.Task, int]:
    """Returns the task of a data config and its number of training examples, without reading data.

    Args:
      config: the data part of a config.
      num_puzzle_identifiers: as in `estimate`.
    """
    task = experiment.Task.expected(config)
    if num_puzzle_identifiers:
        task = dataclasses.replace(task, num_puzzle_identifiers=num_puzzle_identifiers)
    return task, data.expected(config).num_train
