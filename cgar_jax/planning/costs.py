"""The cost of a whole run: the costs of its steps, turned into time and summed over the curriculum.

Everything is computed from the config; `step_costs` has the arithmetic of one step.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cgar_jax.curricula import StageDepth
from cgar_jax.experiment import Experiment
from cgar_jax.planning.devices import Device
from cgar_jax.planning.step_costs import (
    Transfer,
    hardware_flops,
    step_memory,
    step_traffic,
    step_transfers,
)


@dataclasses.dataclass(frozen=True)
class StageCost:
    """The cost of one stage of the curriculum.

    Attributes:
      depth: depth of the steps.
      training_steps: number of optimizer steps.
      model_flops: FLOPs of one step on all devices, see `TrainStep.step_flops`.
      hardware_flops: FLOPs of one step on all devices, recomputation included.
      memory: bytes on each device, by purpose.
      compute_seconds: computing time of one step at the assumed utilization.
      traffic_seconds: time of one step's memory traffic at full bandwidth.
      communication_seconds: time of one step's transfers at full bandwidth, not overlapped.
    """

    depth: StageDepth
    training_steps: int
    model_flops: float
    hardware_flops: float
    memory: Mapping[str, float]
    compute_seconds: float
    traffic_seconds: float
    communication_seconds: float

    @property
    def memory_bytes(self) -> float:
        """Total bytes on each device."""
        return sum(self.memory.values())

    @property
    def step_seconds(self) -> float:
        """Time of one step; computing and memory traffic overlap, communication follows."""
        return max(self.compute_seconds, self.traffic_seconds) + self.communication_seconds

    @property
    def bottleneck(self) -> str:
        """The largest part of a step: "compute", "memory traffic" or "communication"."""
        seconds = {
            "compute": self.compute_seconds,
            "memory traffic": self.traffic_seconds,
            "communication": self.communication_seconds,
        }
        return max(seconds, key=seconds.get)


@dataclasses.dataclass(frozen=True)
class Costs:
    """The cost of a whole run.

    Attributes:
      parameters: number of parameters that the main optimizer trains.
      mesh: number of devices by mesh axis.
      batch_size: number of examples per step.
      stages: cost of each stage of the curriculum.
      transfers: transfers between devices in each step.
    """

    parameters: int
    mesh: Mapping[str, int]
    batch_size: int
    stages: tuple[StageCost, ...]
    transfers: tuple[Transfer, ...]

    @property
    def memory_bytes(self) -> float:
        """Bytes on each device in the stage that needs most."""
        return max(stage.memory_bytes for stage in self.stages)

    @property
    def train_seconds(self) -> float:
        """Time of all steps, without compilation, evaluation and checkpoints."""
        return sum(stage.training_steps * stage.step_seconds for stage in self.stages)

    @property
    def examples_per_second(self) -> float:
        """Supervision steps of single examples per second, as in the trainer's progress line."""
        training_steps = sum(stage.training_steps for stage in self.stages)
        return self.batch_size * training_steps / self.train_seconds


def run_costs(
    experiment: Experiment, device: Device, utilization: float = 0.4, num_train: int = 0
) -> Costs:
    """Computes the cost of a run on the devices of its mesh.

    Args:
      experiment: the experiment; its mesh may be abstract.
      device: the kind of each device of the mesh.
      utilization: assumed share, in (0, 1], of the device's FLOPs per second that steps reach.
      num_train: number of training examples; 0 leaves the training set out.

    Raises:
      ValueError: if `utilization` is out of range, or a bandwidth that is needed is unknown.
    """
    if not 0 < utilization <= 1:
        raise ValueError(
            f"utilization is {utilization}; expected a share greater than 0 and at most 1"
        )
    transfers = step_transfers(experiment)
    is_float32 = jnp.dtype(experiment.model.dtype).itemsize >= 4
    peak = device.float32_flops if is_float32 else device.bfloat16_flops
    stages = []
    for stage in experiment.stages:
        flops = hardware_flops(experiment, stage.depth)
        cost = StageCost(
            depth=stage.depth,
            training_steps=stage.end_step - stage.first_step,
            model_flops=experiment.train_step.step_flops(stage.depth),
            hardware_flops=flops,
            memory=step_memory(experiment, stage.depth, num_train),
            compute_seconds=flops / experiment.mesh.size / (utilization * peak),
            traffic_seconds=step_traffic(experiment, stage.depth) / device.memory_bandwidth,
            communication_seconds=sum(transfer.seconds(device) for transfer in transfers),
        )
        stages.append(cost)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(experiment.abstract_state().params))
    mesh, batch_size = dict(experiment.mesh.shape), experiment.config.batch_size
    return Costs(parameters, mesh, batch_size, tuple(stages), transfers)
