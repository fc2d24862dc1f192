"""The training step, which sizes of dispatches and numbers of devices do not change."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import losses
from cgar_jax.curricula import Depth
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.clock import Clock
from cgar_jax.training.step_metrics import finish_metrics
from tests.training import problem

DEPTH = Depth(2, 2)


def run(pieces, dataset, state, *chunks, depth=DEPTH):
    """Trains with dispatches of `chunks` steps; returns the state and the last sums."""
    program = problem.program(pieces, state, dataset, depth)
    for chunk in chunks:
        state, sums = program(state, dataset, np.int32(chunk))
    return state, jax.device_get(sums)


def test_training_lowers_the_loss():
    pieces, dataset, state = problem.build(training__steps=300)
    state, first = run(pieces, dataset, state, 20)
    _, last = run(pieces, dataset, state, 200, 20)
    assert finish_metrics(last)["answer_loss"] < 0.5 * finish_metrics(first)["answer_loss"]


def test_dispatches_of_any_sizes_give_bitwise_the_same_state():
    pieces, dataset, state = problem.build()
    whole, _ = run(pieces, dataset, state, 12)
    pieces, dataset, state = problem.build()
    chunked, _ = run(pieces, dataset, state, 1, 4, 7)
    chex.assert_trees_all_equal(whole, chunked)


def test_the_published_weight_counts_slots_about_to_be_refilled_at_their_old_step():
    settings = {"decay": 0.5, "num_steps": 3, "per": "batch", "normalize": "none"}
    pieces, dataset, state = problem.build(
        weighting=(("hierarchical_supervision_weighting", settings),)
    )
    # The incoming steps have mean 2.25; after half of the slots are refilled, the mean is 0.75.
    steps, halted = jnp.tile(jnp.array([3, 3, 2, 1]), 4), jnp.tile(jnp.array([1, 1, 0, 0]), 4)
    carry = state.carry._replace(supervision_step=steps, halted=halted.astype(bool))
    step = jax.jit(pieces.train_step.step, static_argnums=0)
    _, metrics = step(Depth(1, 1), state._replace(carry=carry), dataset)
    for term in ("answer", "halt"):
        np.testing.assert_allclose(metrics[f"{term}_weight_mean"], 0.5**2, rtol=1e-6)
    unweighted = metrics["answer_loss"] + metrics["halt_loss"]
    np.testing.assert_allclose(metrics["loss"], 0.5**2 * unweighted, rtol=1e-5)


# Each case compiles a program; attention differs from the MLP only in the mixing.
MESHES = [
    ("mlp", {"data": 8}, 1),
    ("mlp", {"fsdp": 8}, 1),
    ("mlp", {"data": 2, "fsdp": 2}, 2),
    ("mlp", {"data": 1}, 4),
    ("attention", {"data": 4, "fsdp": 2}, 1),
    ("attention", {"data": 1}, 4),
]


@functools.cache
def twenty_steps(mixing, data=1, fsdp=1, microbatches=1):
    """Trains with halting, augmentation and a weighting; returns the losses and the state."""
    pieces, dataset, state = problem.build(
        mesh={"data": data, "fsdp": fsdp},
        training__microbatches=microbatches,
        model__mixing=mixing,
        optimizer__learning_rate=1e-3,
    )
    losses = []
    for _ in range(20):
        state, sums = run(pieces, dataset, state, 1)
        losses.append(float(sums["loss"]))
    return losses, jax.device_get(state)


@pytest.mark.parametrize(("mixing", "mesh", "microbatches"), MESHES, ids=str)
def test_many_devices_and_microbatches_train_like_one_device(mixing, mesh, microbatches):
    one_losses, one = twenty_steps(mixing)
    losses, many = twenty_steps(mixing, **mesh, microbatches=microbatches)
    np.testing.assert_allclose(losses, one_losses, atol=1e-5)
    chex.assert_trees_all_close(many.params, one.params, atol=1e-5)
    chex.assert_trees_all_equal(many.carry.examples, one.carry.examples)
    chex.assert_trees_all_equal(many.carry.supervision_step, one.carry.supervision_step)


# As above, so that some programs are the same.
MESH = {"data": 1, "fsdp": 1}
ELASTIC = {
    "training__microbatches": 1,
    "model__mixing": "mlp",
    "optimizer__learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder with step 10 of a run on eight devices, and the state and sums of step 20."""
    folder = tmp_path_factory.mktemp("saved")
    pieces, dataset, state = problem.build(mesh=MESH | {"data": 8}, **ELASTIC)
    state, _ = run(pieces, dataset, state, 10)
    with Checkpoints(folder, {}, keep=1) as checkpoints:
        checkpoints.save(state, 10, Clock())
    state, sums = run(pieces, dataset, state, 10)
    return folder, jax.device_get(state), sums


@pytest.mark.parametrize(
    "mesh", [{"data": 1}, {"data": 2}, {"data": 4}, {"data": 4, "fsdp": 2}], ids=str
)
def test_a_checkpoint_of_eight_devices_is_resumed_on_another_mesh(saved, mesh):
    folder, undisturbed, sums = saved
    pieces, dataset, _ = problem.build(mesh=MESH | mesh, **ELASTIC)
    with Checkpoints(folder, {}, keep=1, read_only=True) as checkpoints:
        state = checkpoints.restore(pieces.abstract_state()).state
    resumed, resumed_sums = run(pieces, dataset, state, 10)
    resumed = jax.device_get(resumed)
    np.testing.assert_allclose(resumed_sums["loss"], sums["loss"], atol=1e-5)
    chex.assert_trees_all_close(resumed.params, undisturbed.params, atol=1e-5)
    chex.assert_trees_all_equal(resumed.carry.examples, undisturbed.carry.examples)


def test_the_wide_matrices_with_their_moments_and_average_are_split_over_fsdp():
    _, _, state = problem.build(mesh={"data": 2, "fsdp": 4})
    matrix = state.params["layers_0"]["channel_mlp"]["gate_up"]
    moments = state.optimizer_state[0].mu["layers_0"]["channel_mlp"]["gate_up"]
    average = state.ema_params["layers_0"]["channel_mlp"]["gate_up"]
    for array in (matrix, moments, average):
        assert array.addressable_shards[0].data.shape == (16, 96 // 4)


def test_the_batch_is_split_over_the_devices_and_parameters_are_replicated():
    pieces, dataset, state = problem.build(mesh__data=8)
    state, _ = run(pieces, dataset, state, 1)
    y, _ = state.carry.states
    assert y.sharding.shard_shape(y.shape)[0] == 2
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.params))


def test_averaged_parameters_follow_the_parameters():
    pieces, dataset, state = problem.build()
    before = jax.device_get(state)
    after, _ = run(pieces, dataset, state, 1)
    expected = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, before.params, after.params)
    chex.assert_trees_all_close(after.ema_params, expected, atol=1e-6)


def test_constants_are_not_trained():
    pieces, dataset, state = problem.build()
    before = jax.device_get(state.constants)
    chex.assert_trees_all_equal(run(pieces, dataset, state, 5)[0].constants, before)


def test_puzzle_rows_without_an_example_do_not_change():
    pieces, dataset, state = problem.build()
    dataset.examples["puzzle_identifiers"] = jnp.ones(40, jnp.int32)
    state = state._replace(puzzle_table=state.puzzle_table + 0.5)
    after, _ = run(pieces, dataset, state, 3)
    moved = (np.asarray(after.puzzle_table) != 0.5).any(axis=1)
    np.testing.assert_array_equal(moved, [False, True, False])


def test_examples_without_a_labeled_cell_train_nothing():
    pieces, dataset, state = problem.build(optimizer__weight_decay=0.0)
    dataset.examples["labels"] = jnp.full((40, problem.CELLS), losses.IGNORE_LABEL)
    before = jax.device_get(state.params)
    after, sums = run(pieces, dataset, state, 3)
    assert sums["finished"] == 0
    chex.assert_trees_all_equal(after.params, before)


def test_bfloat16_compute_trains_float32_parameters():
    pieces, dataset, state = problem.build(model__dtype="bfloat16")
    after, sums = run(pieces, dataset, state, 5)
    assert after.carry.states[0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
    assert np.isfinite(sums["loss"])


def test_the_loop_on_the_device_stops_at_the_first_step_that_is_not_finite():
    pieces, dataset, state = problem.build()
    state = state._replace(params=jax.tree.map(lambda p: p * jnp.nan, state.params))
    after, sums = run(pieces, dataset, state, 10)
    assert int(sums["steps"]) == 1
    assert int(after.step) == 1


def test_metrics_are_means_over_steps_and_over_finished_examples():
    sums = {"loss": 6.0, "exact_accuracy": 3.0, "finished": 4.0, "steps": 2}
    expected = {"loss": 3.0, "exact_accuracy": 0.75, "examples_finished": 4.0}
    assert finish_metrics(sums) == expected


def test_every_slot_finishes_within_the_allowed_supervision_steps():
    pieces, dataset, state = problem.build()
    step = jax.jit(functools.partial(pieces.train_step.step, DEPTH))
    for _ in range(7):
        state, _ = step(state, dataset)
        assert int(state.carry.supervision_step.max()) <= 3
    assert int(state.carry.supervision_step.min()) >= 1


def test_first_supervision_steps_weigh_more_than_last_ones():
    pieces, dataset, state = problem.build()
    _, sums = run(pieces, dataset, state, 1)
    z = 1 + 0.7 + 0.49
    assert float(sums["answer_weight_mean"]) == pytest.approx(1 / z)
    _, sums = run(pieces, dataset, run(pieces, dataset, problem.build()[2], 1)[0], 1)
    assert float(sums["answer_weight_min"]) == pytest.approx(0.7 / z)


def test_all_depths_share_one_state():
    pieces, dataset, state = problem.build()
    shapes = [
        jax.eval_shape(functools.partial(pieces.train_step.step, depth), state, dataset)[0]
        for depth in (Depth(1, 1), Depth(6, 3))
    ]
    assert shapes[0] == shapes[1] == jax.eval_shape(lambda s: s, state)
