"""What a step will cost agrees with what JAX traces and what XLA compiles."""

import functools
import math

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from cgar_jax import experiment
from cgar_jax.curricula import Depth, NestedDepths
from cgar_jax.layers.blocks import gated_inner_size
from cgar_jax.models import TRM
from cgar_jax.planning import costs
from cgar_jax.planning.devices import DEVICES, device
from cgar_jax.training.programs import step_program
from tests.training import problem

ONE = DEVICES["h100"]


def build(num_devices=None, mesh=None, cells=63, rows=3, **changes):
    """A model whose matrix products outweigh all else."""
    config = problem.config(**changes)
    config.batch_size = 64
    config.model.update(hidden_size=128, inner_size_multiple=64, num_heads=4, num_layers=2)
    config.mesh = ml_collections.ConfigDict(mesh or {"data": 1, "fsdp": 1})
    return experiment.build(config, experiment.Task(problem.VOCABULARY, cells, rows), num_devices)


def program(pieces, depth):
    return step_program(
        pieces.train_step,
        depth,
        pieces.abstract_state(),
        pieces.abstract_training_set(40),
    )


# XLA counts the body of a loop once, however often it goes round: all of a deeper program as it
# counts a program of this depth.
COUNTED = Depth(1, 2)


@functools.cache
def compiled(mixing):
    pieces, depth = build(model__mixing=mixing), Depth(2, 2)
    function, arguments = program(pieces, depth)
    return pieces, depth, function.lower(*arguments).compile()


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_flops_agree_with_what_xla_counts(mixing):
    pieces, _, executable = compiled(mixing)
    counted = executable.cost_analysis()["flops"]
    assert costs.hardware_flops(pieces, COUNTED) == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_memory_agrees_with_what_xla_sets_aside(mixing):
    pieces, depth, executable = compiled(mixing)
    memory = costs.step_memory(pieces, depth, num_train=40)
    temporary = memory.pop("activations") + memory.pop("gradients")
    found = executable.memory_analysis()
    assert sum(memory.values()) == pytest.approx(found.argument_size_in_bytes, rel=0.01)
    assert temporary == pytest.approx(found.temp_size_in_bytes, rel=0.1)


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_memory_traffic_is_less_than_what_xla_counts_but_not_far_from_it(mixing):
    pieces, _, executable = compiled(mixing)
    counted = executable.cost_analysis()["bytes accessed"]
    assert counted / 4 <= costs.step_traffic(pieces, COUNTED) <= counted


def matrix_flops(jaxpr):
    """Of all matrix products of a traced program, loops and devices multiplied out."""
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
        # Of branches that are drawn alike, the mean.
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
    pieces = build(8, {"data": 4, "fsdp": 2}, training__microbatches=microbatches)
    function, arguments = program(pieces, depth)
    traced = matrix_flops(function.trace(*arguments).jaxpr)
    assert costs.hardware_flops(pieces, depth) == pytest.approx(traced, rel=1e-3)


def test_model_flops_leave_out_what_is_computed_again():
    pieces = build()
    ratio = costs.hardware_flops(pieces, Depth(6, 3)) / pieces.train_step.step_flops(Depth(6, 3))
    assert ratio == pytest.approx(6 / 5, rel=1e-2)  # (3 + 3) cycles instead of (3 + 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_a_network_call_holds_what_its_vjp_keeps_but_for_what_compilers_drop(mixing, dtype):
    sizes = {"hidden_size": 128, "num_heads": 4, "inner_size_multiple": 64}
    model = TRM(vocab_size=6, sequence_length=63, mixing=mixing, dtype=dtype, **sizes)
    batch, (length, hidden) = 7, model.state_shape  # no parameter's size is divisible by seven
    cells, row = jnp.zeros((batch, 63), int), jnp.zeros(batch, int)
    variables = model.init(jax.random.key(0), cells, row)
    h = jnp.moveaxis(jnp.zeros((batch, length, hidden), dtype), 0, model.batch_axis)
    _, vjp = jax.vjp(lambda v, h: model.apply(v, h, method="network"), variables, h)
    leaves = {id(leaf): leaf for leaf in jax.tree.leaves(vjp)}.values()
    # All that there is for each example, but for statistics of norms and of attention weights.
    kept = [x for x in leaves if x.size % batch == 0 and x.size >= batch * length * hidden]
    sizes = {length, hidden} if mixing == "mlp" else {hidden}
    # One minus the sigmoid of each gate, and attention weights rounded to what they are already.
    dropped = sum(gated_inner_size(size, 4.0, 64) * length * hidden // size for size in sizes)
    if (mixing, dtype) == ("attention", "float32"):
        dropped += model.num_heads * length * length
    spared = model.num_layers * dropped * jnp.dtype(dtype).itemsize
    found = sum(leaf.size * leaf.dtype.itemsize for leaf in kept) / batch
    assert model.network_activations() + spared == pytest.approx(found, rel=5e-3)


def test_devices_that_share_parameters_hold_a_part_of_them():
    whole, split = (
        costs.step_memory(build(8, {"data": 8 // fsdp, "fsdp": fsdp}), Depth(2, 1))
        for fsdp in (1, 8)
    )
    for name in ("parameters", "moving average", "optimizer"):
        assert split[name] < whole[name] / 6
    assert split["carry"] == whole["carry"]
    assert split["gradients"] > whole["gradients"]  # and the gathered parameters


def test_microbatches_need_less_memory_and_more_arithmetic():
    one, four = (build(training__microbatches=number) for number in (1, 4))
    depth = Depth(4, 2)
    activations = [costs.step_memory(pieces, depth)["activations"] for pieces in (one, four)]
    assert activations[1] < activations[0] / 2
    assert costs.hardware_flops(four, depth) > costs.hardware_flops(one, depth)


def test_a_ring_that_leaves_its_host_is_as_slow_as_the_network():
    near = costs.Transfer("gradients", "all-reduce", 8e9, devices=8, reach=8)
    far = near._replace(devices=4, reach=32)
    assert near.seconds(ONE) == pytest.approx(2 * 7 / 8 * 8e9 / ONE.link_bandwidth)
    assert far.seconds(ONE) == pytest.approx(2 * 3 / 4 * 8e9 / ONE.network_bandwidth)
    gathered = near._replace(kind="all-gather")
    assert gathered.seconds(ONE) == pytest.approx(near.seconds(ONE) / 2)


def test_the_bottleneck_is_what_takes_longest():
    pieces = build(8, {"data": 8, "fsdp": 1})

    def bottleneck(**changes):
        return costs.costs(pieces, ONE._replace(**changes)).stages[-1].bottleneck

    assert bottleneck(float32_flops=1e9) == "compute"
    assert bottleneck(memory_bandwidth=1e6) == "memory traffic"
    assert bottleneck(link_bandwidth=1e3) == "communication"


def test_a_run_takes_as_long_as_its_steps():
    pieces = build(8, {"data": 8, "fsdp": 1})
    result = costs.costs(pieces, ONE, num_train=40)
    first, second = result.stages
    assert first.num_steps + second.num_steps == pieces.config.training.steps
    expected = first.num_steps * first.step_seconds + second.num_steps * second.step_seconds
    assert result.train_seconds == pytest.approx(expected)
    flops = sum(stage.num_steps * stage.model_flops for stage in result.stages)
    assert flops == pytest.approx(pieces.planned_flops())


def test_an_unknown_device_is_told_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'h200'"):
        device("h20")


def test_a_device_without_a_figure_of_its_network_stays_on_one_host():
    pieces = build(16, {"data": 16, "fsdp": 1})
    with pytest.raises(ValueError, match="use at most 8 devices"):
        costs.costs(pieces, DEVICES["l4"])


@pytest.mark.parametrize("share", [0, 1.1, -0.4])
def test_a_share_of_the_peak_is_more_than_none_and_at_most_all(share):
    with pytest.raises(ValueError, match="must be more than 0"):
        costs.costs(build(), ONE, utilization=share)
