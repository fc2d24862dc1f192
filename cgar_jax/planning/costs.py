"""What a step will cost, worked out and not measured: arithmetic, memory, communication, time.

Pure functions of an `Experiment`, which may be for devices that are not there. The network's part
of each figure is a method of the model.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cgar_jax.curricula import Depth, StageDepth
from cgar_jax.experiment import Experiment
from cgar_jax.planning.devices import Device
from cgar_jax.training.feed import BLOCKS_AHEAD

# States of the recursion beside the inputs of its calls: new answer and latent, and the gradients
# in question, answer and latent.
STATES = 5


class Transfer(NamedTuple):
    """Arrays that each device sums or gathers with others, once a step."""

    what: str
    kind: str  # "all-reduce", "all-gather" or "reduce-scatter"
    bytes: float  # of the whole arrays
    devices: int  # that take part together
    reach: int  # from the first of them to the last, as devices are numbered

    def seconds(self, device: Device) -> float:
        """Time at full bandwidth around a ring, by the network if the ring leaves the fast links.

        An all-reduce sends `2 (k - 1) / k` of the bytes, the others half of that.

        Raises:
          ValueError: no figure of the network is known.
        """
        beyond = self.reach > device.joined
        bandwidth = device.network_bandwidth if beyond else device.link_bandwidth
        if not bandwidth:
            raise ValueError(
                f"{self.reach} devices need a network, of which there is no figure for this "
                f"device; use at most {device.joined} devices"
            )
        rounds = 2 if self.kind == "all-reduce" else 1
        return rounds * (self.devices - 1) / self.devices * self.bytes / bandwidth


@dataclasses.dataclass(frozen=True)
class StageCost:
    """One stage of the curriculum.

    Attributes:
      depth: of its steps.
      num_steps: optimizer steps.
      model_flops: of one step on all devices, as `TrainStep.step_flops`.
      hardware_flops: the same with what is computed a second time to save memory.
      memory: bytes on each device, by what they are for.
      compute_seconds: of one step, at the share of the peak that was assumed.
      traffic_seconds: of one step, in which memory moves what it must at full bandwidth.
      communication_seconds: of one step, at full bandwidth, while nothing else goes on.
    """

    depth: StageDepth
    num_steps: int
    model_flops: float
    hardware_flops: float
    memory: Mapping[str, float]
    compute_seconds: float
    traffic_seconds: float
    communication_seconds: float

    @property
    def memory_bytes(self) -> float:
        """All of it, on each device."""
        return sum(self.memory.values())

    @property
    def step_seconds(self) -> float:
        """Of one step: devices compute and move memory at once, and then talk."""
        return max(self.compute_seconds, self.traffic_seconds) + self.communication_seconds

    @property
    def bottleneck(self) -> str:
        """What takes the most time: "compute", "memory traffic" or "communication"."""
        seconds = {
            "compute": self.compute_seconds,
            "memory traffic": self.traffic_seconds,
            "communication": self.communication_seconds,
        }
        return max(seconds, key=seconds.get)


@dataclasses.dataclass(frozen=True)
class Costs:
    """A whole run.

    Attributes:
      parameters: trained by the main optimizer.
      mesh: devices by axis.
      batch_size: examples per step.
      stages: of the curriculum.
      transfers: of each step.
    """

    parameters: int
    mesh: Mapping[str, int]
    batch_size: int
    stages: tuple[StageCost, ...]
    transfers: tuple[Transfer, ...]

    @property
    def memory_bytes(self) -> float:
        """On each device, in the stage that needs most."""
        return max(stage.memory_bytes for stage in self.stages)

    @property
    def train_seconds(self) -> float:
        """All steps, without compilation, evaluation and checkpoints."""
        return sum(stage.num_steps * stage.step_seconds for stage in self.stages)

    @property
    def examples_per_second(self) -> float:
        """Supervision steps of single examples, as the trainer's progress line counts them."""
        num_steps = sum(stage.num_steps for stage in self.stages)
        return self.batch_size * num_steps / self.train_seconds


def costs(
    experiment: Experiment, device: Device, utilization: float = 0.4, num_train: int = 0
) -> Costs:
    """What a run will cost on its mesh of such devices.

    Args:
      experiment: of any mesh, abstract too.
      device: each of the mesh.
      utilization: share of its peak at which a device computes; an assumption, in (0, 1].
      num_train: training examples; 0 leaves them out.

    Raises:
      ValueError: `utilization` is out of range, or the device has no figure that is needed.
    """
    if not 0 < utilization <= 1:
        raise ValueError(f"utilization is {utilization}, but it must be more than 0, at most 1")
    transfers = step_transfers(experiment)
    exact = jnp.dtype(experiment.model.dtype).itemsize >= 4
    peak = device.float32_flops if exact else device.bfloat16_flops
    stages = []
    for stage in experiment.stages:
        flops = hardware_flops(experiment, stage.depth)
        cost = StageCost(
            depth=stage.depth,
            num_steps=stage.end_step - stage.first_step,
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


def forward_passes(experiment: Experiment, depth: StageDepth) -> float:
    """What a step computes of the network for one example, in forward calls, recomputation too.

    A cycle of `n + 1` calls without gradient counts once, one with gradient four times: forward,
    forward again at the backward pass, and twice for that. Microbatches go through the cycle with
    gradient once more.
    """
    extra = 1 + (experiment.train_step.microbatches > 1)
    return sum(
        probability * (drawn.gradient_aware_cost + extra * drawn.num_exits * (drawn.n + 1))
        for probability, drawn in depth.draws
    )


def hardware_flops(experiment: Experiment, depth: StageDepth) -> float:
    """FLOPs of one step on all devices: matrix products of network and heads, see `forward_passes`.

    The optimizer, norms, gates and softmax are left out.
    """
    model = experiment.model
    heads = (3 + (experiment.train_step.microbatches > 1)) * depth.num_exits * model.heads_flops()
    per_example = forward_passes(experiment, depth) * model.network_flops() + heads
    return experiment.config.batch_size * per_example


def step_traffic(experiment: Experiment, depth: StageDepth) -> float:
    """Bytes that one step must move to and from one device's memory: of network calls, at least."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(experiment.abstract_state().params))
    slots = experiment.config.batch_size // experiment.mesh.size
    weights = experiment.train_step.microbatches * parameters * _itemsize(experiment)
    per_call = slots * experiment.model.network_traffic() + weights
    return forward_passes(experiment, depth) * per_call


def step_memory(experiment: Experiment, depth: StageDepth, num_train: int = 0) -> dict[str, float]:
    """Bytes on each device while a step runs, by what they are for.

    Activations are the inputs of all network calls with gradient, what the backward pass of one
    call holds, and a few states. A compiler may do with less, or lay arrays out more widely.

    Args:
      experiment: whose step.
      depth: of the step; of several that may be drawn, the one that needs most counts.
      num_train: training examples; 0 leaves them out.
    """
    state = experiment.abstract_state()
    carried = ("params", "ema_params", "optimizer_state", "puzzle_table", "carry")
    rest = [part for name, part in state._asdict().items() if name not in carried]
    return {
        "parameters": _bytes_here(state.params),
        "moving average": _bytes_here(state.ema_params),
        "optimizer": _bytes_here(state.optimizer_state),
        "puzzle embeddings": _bytes_here(state.puzzle_table),
        "carry": _bytes_here(state.carry),
        "other state": _bytes_here(rest),
        "training set": _training_set_bytes(experiment, num_train),
        "gradients": _gradient_bytes(experiment, state.params),
        "activations": max(_activation_bytes(experiment, drawn) for _, drawn in depth.draws),
    }


def step_transfers(experiment: Experiment) -> tuple[Transfer, ...]:
    """What devices say to each other in a step, but for a few hundred bytes and the sampling.

    Parameters that lie over `fsdp` are gathered, their gradients scattered, and the parts summed
    over `data`; gradients of all others are summed over all devices. Of a large puzzle table the
    rows of a batch travel.
    """
    state, mesh = experiment.abstract_state(), experiment.mesh
    leaves = jax.tree.leaves(state.params)
    split = sum(_nbytes(leaf) for leaf in leaves if _bytes_here(leaf) < _nbytes(leaf))
    whole = sum(map(_nbytes, leaves)) - split
    rows, batch = state.puzzle_table.shape[0], experiment.config.batch_size
    row_bytes = _nbytes(state.puzzle_table) / rows
    # Devices that share the rows of a table read them for each other: to think, and to update.
    shared = _bytes_here(state.puzzle_table) < _nbytes(state.puzzle_table)
    row_gradients = min(rows, batch) * row_bytes
    fsdp, all_devices = mesh.shape["fsdp"], mesh.size
    over_fsdp = fsdp, fsdp
    over_data = mesh.shape["data"], all_devices
    over_all = all_devices, all_devices
    transfers = (
        Transfer("split parameters", "all-gather", split, *over_fsdp),
        Transfer("their gradients", "reduce-scatter", split, *over_fsdp),
        Transfer("parts of these", "all-reduce", split / fsdp, *over_data),
        Transfer("gradients", "all-reduce", whole, *over_all),
        Transfer("puzzle embeddings", "all-reduce", 2 * batch * row_bytes * shared, *over_all),
        Transfer("gradients of these", "all-reduce", row_gradients, *over_all),
    )
    return tuple(one for one in transfers if one.bytes and one.devices > 1)


def _activation_bytes(experiment: Experiment, depth: Depth) -> float:
    model, step = experiment.model, experiment.train_step
    slots = step.batch_size // experiment.mesh.size
    part = slots // step.microbatches
    one_state = math.prod(model.state_shape) * _itemsize(experiment)
    calls = depth.num_exits * (depth.n + 1)
    bytes_ = part * (model.network_activations() + (calls + STATES) * one_state)
    if step.microbatches > 1:
        # Of the whole share: the states after, and those before each cycle with gradient.
        kept = sum(segment.T > 1 for segment in depth.segments)
        bytes_ += 2 * (1 + kept) * slots * one_state
    return bytes_


def _gradient_bytes(experiment: Experiment, params) -> float:
    """Whole on each device, with the parameters as the network computes with them."""
    whole = sum(map(_nbytes, jax.tree.leaves(params)))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params))
    gathered = experiment.mesh.shape["fsdp"] > 1
    cast = experiment.model.dtype != experiment.model.param_dtype
    return whole * (1 + gathered) + numbers * _itemsize(experiment) * cast


def _training_set_bytes(experiment: Experiment, num_train: int) -> float:
    """On the devices, or as much of a stream as is there at once."""
    config = experiment.config
    on_device = _bytes_here(experiment.abstract_training_set(num_train).examples)
    if on_device <= config.data.max_device_megabytes * 2**20:
        return on_device
    steps = (BLOCKS_AHEAD + 1) * config.training.steps_per_dispatch
    return steps * config.batch_size / experiment.mesh.size * on_device / num_train


def _bytes_here(tree) -> int:
    """Bytes of the part of arrays that one device holds."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _nbytes(leaf) -> int:
    return leaf.size * leaf.dtype.itemsize


def _itemsize(experiment: Experiment) -> int:
    return jnp.dtype(experiment.model.dtype).itemsize
