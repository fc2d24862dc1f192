"""Costs of a step agree with what JAX traces and what XLA compiles."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest

from cgar_jax.curricula import Depth, NestedDepths
from cgar_jax.layers import gated_inner_size
from cgar_jax.models import TRM
from cgar_jax.planning import step_costs
from cgar_jax.planning.devices import DEVICES
from cgar_jax.planning.step_costs import Transfer
from cgar_jax.training.programs import step_program
from tests.planning.experiments import build

H100 = DEVICES["h100"]


def program(experiment, depth):
    return step_program(
        experiment.train_step,
        depth,
        experiment.abstract_state(),
        experiment.abstract_training_set(40),
    )


# XLA counts the body of a loop once, whatever its number of iterations, so it counts every deeper
# program like a program of this depth.
COUNTED = Depth(1, 2)


@functools.cache
def compiled(mixing):
    experiment, depth = build(model__mixing=mixing), Depth(2, 2)
    function, arguments = program(experiment, depth)
    return experiment, depth, function.lower(*arguments).compile()


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_flops_agree_with_the_count_of_xla(mixing):
    experiment, _, executable = compiled(mixing)
    counted = executable.cost_analysis()["flops"]
    assert step_costs.hardware_flops(experiment, COUNTED) == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_memory_agrees_with_the_allocation_of_xla(mixing):
    experiment, depth, executable = compiled(mixing)
    memory = step_costs.step_memory(experiment, depth, num_train=40)
    temporary = memory.pop("activations") + memory.pop("gradients")
    found = executable.memory_analysis()
    assert sum(memory.values()) == pytest.approx(found.argument_size_in_bytes, rel=0.01)
    assert temporary == pytest.approx(found.temp_size_in_bytes, rel=0.1)


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_memory_traffic_is_at_most_the_count_of_xla_and_at_least_a_quarter_of_it(mixing):
    experiment, _, executable = compiled(mixing)
    counted = executable.cost_analysis()["bytes accessed"]
    assert counted / 4 <= step_costs.step_traffic(experiment, COUNTED) <= counted


def matrix_flops(jaxpr):
    """FLOPs of all matrix products of a traced program, with loops and devices multiplied out."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            summed = [equation.invars[0].aval.shape[axis] for axis in contracted]
            total += 2 * math.prod(summed) * equation.outvars[0].aval.size
        times = equation.params.get("length", 1)
        if equation.primitive.name == "shard_map":
            times = equation.params["mesh"].size
        inner = [matrix_flops(inner) for inner in jaxprs_of(equation)]
        # Branches are drawn with equal probability, so their mean counts.
        total += times * sum(inner) / (len(inner) if "branches" in equation.params else 1)
    return total


def jaxprs_of(equation):
    leaves = jax.tree.leaves(
        list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
    )
    return [getattr(leaf, "jaxpr", leaf) for leaf in leaves if hasattr(leaf, "eqns")]


DEPTHS = {
    "plain": Depth(3, 3),
    "one cycle": Depth(2, 1),
    "exits": Depth(2, 4, (1, 3, 4)),
    "nested": NestedDepths((Depth(2, 1), Depth(2, 2), Depth(2, 3))),
}


@pytest.mark.parametrize("microbatches", [1, 2])
@pytest.mark.parametrize("depth", DEPTHS.values(), ids=DEPTHS)
def test_flops_of_every_depth_agree_with_the_traced_step(depth, microbatches):
    experiment = build(8, {"data": 4, "fsdp": 2}, training__microbatches=microbatches)
    function, arguments = program(experiment, depth)
    traced = matrix_flops(function.trace(*arguments).jaxpr)
    assert step_costs.hardware_flops(experiment, depth) == pytest.approx(traced, rel=1e-3)


def test_every_hypothesis_costs_flops_and_memory():
    one, three = (build(model__num_hypotheses=number) for number in (1, 3))
    depth = Depth(2, 2)
    function, arguments = program(three, depth)
    traced = matrix_flops(function.trace(*arguments).jaxpr)
    assert step_costs.hardware_flops(three, depth) == pytest.approx(traced, rel=1e-3)
    assert three.train_step.step_flops(depth) == 3 * one.train_step.step_flops(depth)
    activations = [step_costs.step_memory(each, depth)["activations"] for each in (one, three)]
    assert activations[1] == 3 * activations[0]


def test_model_flops_leave_out_recomputation():
    experiment = build()
    hardware = step_costs.hardware_flops(experiment, Depth(6, 3))
    ratio = hardware / experiment.train_step.step_flops(Depth(6, 3))
    assert ratio == pytest.approx(6 / 5, rel=1e-2)  # (3 + 3) cycles instead of (3 + 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_activations_are_what_the_vjp_of_a_network_call_keeps_after_compilation(mixing, dtype):
    sizes = {"hidden_size": 128, "num_heads": 4, "inner_size_multiple": 64}
    model = TRM(vocab_size=6, sequence_length=63, mixing=mixing, dtype=dtype, **sizes)
    batch, (length, hidden) = 7, model.state_shape  # 7 divides the size of no parameter
    cells, row = jnp.zeros((batch, 63), int), jnp.zeros(batch, int)
    variables = model.init(jax.random.key(0), cells, row)
    h = jnp.moveaxis(jnp.zeros((batch, length, hidden), dtype), 0, model.batch_axis)
    _, vjp = jax.vjp(lambda v, h: model.apply(v, h, method="network"), variables, h)
    leaves = {id(leaf): leaf for leaf in jax.tree.leaves(vjp)}.values()
    # Arrays with values for each example, except the statistics of norms and attention weights.
    kept = [x for x in leaves if x.size % batch == 0 and x.size >= batch * length * hidden]
    sizes = {length, hidden} if mixing == "mlp" else {hidden}
    # Compilers drop one minus the sigmoid of each gate, and attention weights that are rounded to
    # the dtype that they already have.
    dropped = sum(gated_inner_size(size, 4.0, 64) * length * hidden // size for size in sizes)
    if (mixing, dtype) == ("attention", "float32"):
        dropped += model.num_heads * length * length
    saved = model.num_layers * dropped * jnp.dtype(dtype).itemsize
    found = sum(leaf.size * leaf.dtype.itemsize for leaf in kept) / batch
    assert model.network_activations() + saved == pytest.approx(found, rel=5e-3)


def test_devices_that_share_parameters_hold_only_a_part_of_them():
    whole, split = (
        step_costs.step_memory(build(8, {"data": 8 // fsdp, "fsdp": fsdp}), Depth(2, 1))
        for fsdp in (1, 8)
    )
    for name in ("parameters", "moving average", "optimizer"):
        assert split[name] < whole[name] / 6
    assert split["carry"] == whole["carry"]
    assert split["gradients"] > whole["gradients"]  # The gathered parameters count as well.


def test_microbatches_need_less_memory_and_more_flops():
    one, four = (build(training__microbatches=number) for number in (1, 4))
    depth = Depth(4, 2)
    activations = [step_costs.step_memory(each, depth)["activations"] for each in (one, four)]
    assert activations[1] < activations[0] / 2
    assert step_costs.hardware_flops(four, depth) > step_costs.hardware_flops(one, depth)


def test_a_ring_that_reaches_beyond_its_host_runs_at_the_speed_of_the_network():
    near = Transfer("gradients", "all-reduce", 8e9, devices=8, reach=8)
    far = near._replace(devices=4, reach=32)
    assert near.seconds(H100) == pytest.approx(2 * 7 / 8 * 8e9 / H100.link_bandwidth)
    assert far.seconds(H100) == pytest.approx(2 * 3 / 4 * 8e9 / H100.network_bandwidth)
    gathered = near._replace(kind="all-gather")
    assert gathered.seconds(H100) == pytest.approx(near.seconds(H100) / 2)
