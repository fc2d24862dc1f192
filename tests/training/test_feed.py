"""Training sets on the devices, streamed training sets, and large puzzle tables."""

import chex
import jax
import numpy as np
import pytest

from cgar_jax import experiment
from cgar_jax.curricula import Depth
from cgar_jax.data import identity_augmentation
from cgar_jax.mesh import make_mesh
from cgar_jax.sampling import epoch_sampling
from cgar_jax.sampling.samplings import Request
from cgar_jax.training.feed import Stream
from cgar_jax.training.state import averaged
from tests.training import problem

GROUPS = np.array([0, 0, 1, 2, 2, 2, 3])
EPOCHS = {"name": "epoch_sampling"}


def stream(groups=GROUPS, batch_size=4, steps=3, seed=0, devices=1, augment=identity_augmentation):
    """A stream of examples whose first token identifies their row."""
    num = len(groups)
    examples = {"inputs": np.arange(num * 2, dtype=np.int8).reshape(num, 2), "groups": groups}
    mesh = make_mesh({"data": devices}, batch_size)
    return Stream(examples, augment, mesh, batch_size, steps, seed)


def epochs_of(rows):
    """Splits rows into epochs; an incomplete last epoch is dropped."""
    rows, num = np.asarray(rows).reshape(-1), len(GROUPS)
    return rows[: len(rows) // num * num].reshape(-1, num)


def drawn_rows(num_draws, wanted, groups=GROUPS, seed=0):
    sampling = epoch_sampling(seed)
    state, rows = sampling.init(), []
    draw = jax.jit(sampling.draw)
    for _ in range(num_draws):
        request = Request(jax.random.key(0), np.float32(0), np.asarray(groups), np.asarray(wanted))
        found, state = draw(state, request)
        rows += np.asarray(found)[np.asarray(wanted)].tolist()
    return rows


# Sampling by epochs obeys the same rules on the device and on the host.
WAYS = {
    "drawn on the device": lambda seed: drawn_rows(30, [True] * 4, seed=seed),
    "prepared on the host": lambda seed: stream(seed=seed).rows(0, 30),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_epoch_contains_each_example_once(way):
    for epoch in epochs_of(WAYS[way](0)):
        assert sorted(epoch) == list(range(7))


@pytest.mark.parametrize("way", WAYS)
def test_the_examples_of_a_puzzle_are_consecutive(way):
    for epoch in epochs_of(WAYS[way](0)):
        changes = np.count_nonzero(np.diff(GROUPS[epoch]))
        assert changes == 3


@pytest.mark.parametrize("way", WAYS)
def test_each_epoch_has_its_own_order(way):
    epochs = epochs_of(WAYS[way](0))
    assert len({tuple(GROUPS[epoch]) for epoch in epochs}) > 5
    assert len({tuple(row for row in epoch if GROUPS[row] == 2) for epoch in epochs}) > 3


@pytest.mark.parametrize("way", WAYS)
def test_the_order_depends_on_the_seed(way):
    assert not np.array_equal(WAYS[way](0), WAYS[way](1))


def test_slots_that_want_no_example_do_not_skip_any():
    some = drawn_rows(21, [False, True, False, True])
    assert some == drawn_rows(14, [True, True, True])[: len(some)]


def test_a_batch_may_span_several_epochs():
    for epoch in epochs_of(drawn_rows(3, [True] * 20)):
        assert sorted(epoch) == list(range(7))


def test_the_examples_of_a_step_depend_only_on_the_step():
    whole = stream().rows(0, 20)
    np.testing.assert_array_equal(whole[13:], stream().rows(13, 7))


def test_a_block_holds_the_examples_of_its_steps():
    feed = stream()
    blocks = list(feed([(0, 3), (3, 4), (4, 7)]))
    assert [int(block.first_step) for block in blocks] == [0, 3, 4]
    for (first, stop), block in zip([(0, 3), (3, 4), (4, 7)], blocks, strict=True):
        rows = np.asarray(block.examples["inputs"])[: stop - first, :, 0] // 2
        np.testing.assert_array_equal(rows, feed.rows(first, stop - first))


def test_blocks_match_their_template():
    feed = stream(devices=2)
    block, template = next(feed([(0, 1)])), feed.template
    chex.assert_trees_all_equal_shapes_and_dtypes(block.examples, template.examples)
    assert block.examples["inputs"].sharding == template.examples["inputs"].sharding


def streamed(steps, state=None, mesh__data=1, first_step=0, size=4):
    """A run on streamed examples, from a state to step `steps`, with `size` steps per dispatch."""
    pieces, _, fresh = problem.build(sampling=EPOCHS, mesh__data=mesh__data)
    feed = pieces.stream(problem.examples(), problem.reverse_some)
    state = fresh if state is None else state
    program = problem.program(pieces, state, feed.template, Depth(1, 1))
    spans = [(first, min(first + 4, steps)) for first in range(first_step, steps, 4)]
    for (first, stop), block in zip(spans, feed(spans), strict=True):
        for begin in range(first, stop, size):
            num_steps = min(size, stop - begin)
            state, sums = program(state, block, np.int32(num_steps))
            assert sums["steps"] == num_steps
    return jax.device_get(state)


def test_a_resumed_streamed_run_equals_an_undisturbed_one():
    whole, half = streamed(10), streamed(6)
    resumed = streamed(10, state=half, first_step=6)
    chex.assert_trees_all_equal(whole.params, resumed.params)
    chex.assert_trees_all_equal(whole.carry.examples, resumed.carry.examples)


def test_several_dispatches_per_block_give_the_same_parameters():
    whole, split = streamed(10), streamed(10, size=3)
    chex.assert_trees_all_equal(whole.params, split.params)
    chex.assert_trees_all_equal(whole.carry.examples, split.carry.examples)


def test_a_streamed_run_is_equal_on_one_and_on_eight_devices():
    one, eight = (streamed(4, mesh__data=devices) for devices in (1, 8))
    chex.assert_trees_all_equal(one.carry.examples, eight.carry.examples)
    chex.assert_trees_all_close(one.params, eight.params, atol=2e-3)


def test_streamed_slots_take_the_examples_of_their_step():
    state = streamed(1)
    examples = problem.examples()
    rows = stream(np.arange(40), 16, 4).rows(0, 1)[0]
    identifiers = state.carry.examples["puzzle_identifiers"]
    np.testing.assert_array_equal(identifiers, examples["puzzle_identifiers"][rows])


def test_a_set_that_is_too_large_for_the_devices_is_streamed():
    pieces, *_ = problem.build(sampling=EPOCHS, data__max_device_megabytes=0)
    _, feed = pieces.feed(problem.examples(), identity_augmentation)
    assert isinstance(feed, Stream)


def test_a_set_that_is_too_large_for_the_devices_needs_sampling_by_epochs():
    pieces, *_ = problem.build(data__max_device_megabytes=0)
    with pytest.raises(ValueError, match=r"sampling.name to 'epoch_sampling'.*'uniform_sampling'"):
        pieces.feed(problem.examples(), identity_augmentation)


# Large tables of puzzle embeddings

ROWS = 2048


def large_table(devices):
    task = experiment.Task(problem.VOCABULARY, problem.CELLS, num_puzzle_identifiers=ROWS)
    config = problem.config(mesh__data=devices, optimizer__puzzle_learning_rate=0.1)
    pieces = experiment.build(config, task)
    far_apart = {"puzzle_identifiers": np.arange(40, dtype=np.int32) * (ROWS // 40)}
    return pieces, pieces.on_device(problem.examples() | far_apart), pieces.initial_state()


def after_a_step(devices):
    pieces, data, state = large_table(devices)
    program = problem.program(pieces, state, data, Depth(1, 1))
    return program, program(state, data, np.int32(1))[0]


def test_the_rows_of_a_large_table_are_split_over_the_devices():
    _, state = after_a_step(8)
    assert {shard.data.shape[0] for shard in state.puzzle_table.addressable_shards} == {ROWS // 8}


def test_a_split_table_is_trained_like_a_replicated_one():
    one, eight = (jax.device_get(after_a_step(devices)[1].puzzle_table) for devices in (1, 8))
    assert 0 < np.count_nonzero(one.any(1)) <= 16
    np.testing.assert_allclose(one, eight, atol=1e-6)


def test_no_device_ever_holds_a_whole_split_table():
    program, state = after_a_step(8)
    whole = f"[{ROWS},{state.puzzle_table.shape[1]}]"
    assert whole not in program.as_text()


def test_a_split_table_is_evaluated_like_a_replicated_one():
    found = []
    for devices in (1, 8):
        pieces, _, state = large_table(devices)
        scores = pieces.evaluator(averaged(state), problem.examples(16))
        found.append(scores["cell_accuracy"])
    assert found[0] == pytest.approx(found[1])
