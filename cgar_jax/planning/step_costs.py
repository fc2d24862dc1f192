"""The arithmetic, memory and communication of one training step.

Pure functions of an `Experiment`, whose mesh may name devices that do not exist here. The model
supplies the figures of its network as methods. Times and whole runs are in `costs`.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cgar_jax.curricula import Depth, StageDepth, as_depth_choice
from cgar_jax.experiment import Experiment
from cgar_jax.planning.devices import Device
from cgar_jax.training.feed import BLOCKS_AHEAD

# States of the recursion that exist besides the inputs of its network calls: the new answer and
# latent, and the gradients of question, answer and latent.
STATES = 5


class Transfer(NamedTuple):
    """Arrays that each device sums or gathers with other devices once per step.

    Attributes:
      what: description of the arrays.
      kind: "all-reduce", "all-gather" or "reduce-scatter".
      bytes: size of the whole arrays.
      devices: number of devices that take part in one exchange.
      reach: number of devices between the first and the last participant, both included.
    """

    what: str
    kind: str
    bytes: float
    devices: int
    reach: int

    def seconds(self, device: Device) -> float:
        """Returns the time around a ring at full bandwidth.

        An all-reduce sends `2 (k - 1) / k` of the bytes for `k` devices, the other kinds half of
        that. A ring that reaches beyond the fast links runs at the speed of the network.

        Args:
          device: one device of the mesh.

        Raises:
          ValueError: if the ring needs the network and its bandwidth is unknown.
        """
        beyond = self.reach > device.joined
        bandwidth = device.network_bandwidth if beyond else device.link_bandwidth
        if not bandwidth:
            most = "1 device" if device.joined == 1 else f"at most {device.joined} devices"
            raise ValueError(
                f"{self.reach} devices of this kind need a network whose bandwidth is unknown; "
                f"use {most}"
            )
        rounds = 2 if self.kind == "all-reduce" else 1
        return rounds * (self.devices - 1) / self.devices * self.bytes / bandwidth


def forward_passes(experiment: Experiment, depth: StageDepth) -> float:
    """Returns the network calls of one example's step, in units of one forward call.

    A call without gradient counts once. A call with gradient counts four times: forward, forward
    again during the backward pass, and twice for the backward pass itself. With microbatches, calls
    with gradient run forward once more.

    Args:
      experiment: the experiment.
      depth: depth of the step.
    """
    supervision = experiment.train_step.supervision
    again = 3 + (experiment.train_step.microbatches > 1)

    def calls(drawn: Depth) -> float:
        return supervision.network_calls(drawn) + again * supervision.calls_with_gradient(drawn)

    return sum(share * calls(drawn) for share, drawn in as_depth_choice(depth).draws)


def hardware_flops(experiment: Experiment, depth: StageDepth) -> float:
    """Returns the FLOPs of one step on all devices, recomputation included.

    Counts the matrix products of network and heads; the optimizer, normalizations, gates and
    softmax are left out.

    Args:
      experiment: the experiment.
      depth: depth of the step.
    """
    model = experiment.model
    passes = (3 + (experiment.train_step.microbatches > 1)) * model.num_hypotheses
    heads = passes * depth.num_exits * model.heads_flops()
    per_example = forward_passes(experiment, depth) * model.network_flops() + heads
    return experiment.config.batch_size * per_example


def step_traffic(experiment: Experiment, depth: StageDepth) -> float:
    """Returns the bytes that network calls move to and from one device's memory, a lower bound.

    Args:
      experiment: the experiment.
      depth: depth of the step.
    """
    num_params = sum(leaf.size for leaf in jax.tree.leaves(experiment.abstract_state().params))
    slots = experiment.config.batch_size // experiment.mesh.size
    params_bytes = experiment.train_step.microbatches * num_params * _itemsize(experiment)
    per_call = slots * experiment.model.network_traffic() + params_bytes
    return forward_passes(experiment, depth) * per_call


def step_memory(experiment: Experiment, depth: StageDepth, num_train: int = 0) -> dict[str, float]:
    """Returns the bytes on each device during a step, by purpose.

    Activations are the inputs of all network calls with gradient, the values that the backward pass
    of one call needs, and a few states. A compiler may need less, or pad arrays to need more.

    Args:
      experiment: the experiment.
      depth: depth of the step; if it is drawn from several, the one that needs most counts.
      num_train: number of training examples; 0 leaves the training set out.
    """
    state = experiment.abstract_state()
    listed = ("params", "ema_params", "optimizer_state", "puzzle_table", "carry")
    rest = [part for name, part in state._asdict().items() if name not in listed]
    return {
        "parameters": _bytes_per_device(state.params),
        "moving average": _bytes_per_device(state.ema_params),
        "optimizer": _bytes_per_device(state.optimizer_state),
        "puzzle embeddings": _bytes_per_device(state.puzzle_table),
        "carry": _bytes_per_device(state.carry),
        "other state": _bytes_per_device(rest),
        "training set": _training_set_bytes(experiment, num_train),
        "gradients": _gradient_bytes(experiment, state.params),
        "activations": max(
            _activation_bytes(experiment, drawn) for _, drawn in as_depth_choice(depth).draws
        ),
    }


def step_transfers(experiment: Experiment) -> tuple[Transfer, ...]:
    """Returns the transfers between devices in one step.

    Parameters that are split over `fsdp` are gathered, their gradients scattered and then summed
    over `data`; the gradients of all other parameters are summed over all devices. Of a large
    puzzle table, only the rows of the batch travel. Left out are a few hundred bytes of metrics,
    and the sampling.

    Args:
      experiment: the experiment.
    """
    state, mesh = experiment.abstract_state(), experiment.mesh
    leaves = jax.tree.leaves(state.params)
    split = sum(_nbytes(leaf) for leaf in leaves if _bytes_per_device(leaf) < _nbytes(leaf))
    whole = sum(map(_nbytes, leaves)) - split
    rows, batch = state.puzzle_table.shape[0], experiment.config.batch_size
    row_bytes = _nbytes(state.puzzle_table) / rows
    # Devices that share the rows of a table exchange them twice: to read, and to update.
    shared = _bytes_per_device(state.puzzle_table) < _nbytes(state.puzzle_table)
    row_gradients = min(rows, batch) * row_bytes
    fsdp, all_devices = mesh.shape["fsdp"], mesh.size
    over_fsdp = fsdp, fsdp
    over_data = mesh.shape["data"], all_devices
    over_all = all_devices, all_devices
    transfers = (
        Transfer("split parameters", "all-gather", split, *over_fsdp),
        Transfer("gradients of split parameters", "reduce-scatter", split, *over_fsdp),
        Transfer("scattered gradients", "all-reduce", split / fsdp, *over_data),
        Transfer("gradients of whole parameters", "all-reduce", whole, *over_all),
        Transfer("puzzle embeddings", "all-reduce", 2 * batch * row_bytes * shared, *over_all),
        Transfer("gradients of puzzle embeddings", "all-reduce", row_gradients, *over_all),
    )
    return tuple(each for each in transfers if each.bytes and each.devices > 1)


def _activation_bytes(experiment: Experiment, depth: Depth) -> float:
    model, step = experiment.model, experiment.train_step
    slots = step.batch_size // experiment.mesh.size
    part = slots // step.microbatches
    one_state = math.prod(model.state_shape) * _itemsize(experiment)
    calls = step.supervision.calls_with_gradient(depth)
    # `calls` counts those of all hypotheses, which are worked on side by side.
    several = model.num_hypotheses
    bytes_ = part * (
        several * (model.network_activations() + STATES * one_state) + calls * one_state
    )
    if step.microbatches > 1:
        # Kept for all slots of the device: the final states, and those before each cycle with
        # gradient.
        kept = sum(segment.T > 1 for segment in depth.segments)
        bytes_ += several * model.num_states * (1 + kept) * slots * one_state
    return bytes_


def _gradient_bytes(experiment: Experiment, params: Any) -> float:
    """Returns the bytes of whole gradients and of parameters in the computing dtype, per device."""
    whole = sum(map(_nbytes, jax.tree.leaves(params)))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params))
    gathered = experiment.mesh.shape["fsdp"] > 1
    cast = experiment.model.dtype != experiment.model.param_dtype
    return whole * (1 + gathered) + numbers * _itemsize(experiment) * cast


def _training_set_bytes(experiment: Experiment, num_train: int) -> float:
    """Returns the bytes per device of the training set, or of the prepared blocks of a stream."""
    config = experiment.config
    resident = _bytes_per_device(experiment.abstract_training_set(num_train).examples)
    if resident <= config.data.max_device_megabytes * 2**20:
        return resident
    steps = (BLOCKS_AHEAD + 1) * config.training.steps_per_dispatch
    return steps * config.batch_size / experiment.mesh.size * resident / num_train


def _bytes_per_device(tree: Any) -> int:
    """Returns the bytes of the shards that one device holds."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _nbytes(leaf: Any) -> int:
    return leaf.size * leaf.dtype.itemsize


def _itemsize(experiment: Experiment) -> int:
    return jnp.dtype(experiment.model.dtype).itemsize
