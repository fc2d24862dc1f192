"""Collective operations of programs: one sum of gradients per step, none in the recursion."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from cgar_jax import experiment
from cgar_jax.curricula import Depth
from cgar_jax.mesh import over_batch
from cgar_jax.planning.step_costs import step_transfers
from cgar_jax.recursion import Rollouts
from cgar_jax.training.programs import step_program
from cgar_jax.training.state import averaged
from tests.training import problem
from tests.training.collectives import collectives, loops_around

# Bytes of losses, norms, weights and metrics: a few dozen numbers per step.
SMALL = 400
DEPTH = Depth(2, 3)


@functools.cache
def compiled(data=8, fsdp=1, batch_size=16, rows=3, sampling="uniform_sampling"):
    """The experiment, and the text of the program of its step."""
    config = problem.config(
        mesh=ml_collections.ConfigDict({"data": data, "fsdp": fsdp}),
        sampling=ml_collections.ConfigDict({"name": sampling}),
        batch_size=batch_size,
    )
    task = experiment.Task(problem.VOCABULARY, problem.CELLS, num_puzzle_identifiers=rows)
    pieces = experiment.build(config, task)
    function, arguments = step_program(
        pieces.train_step,
        DEPTH,
        pieces.abstract_state(),
        pieces.abstract_training_set(40),
    )
    return pieces, function.lower(*arguments).compile().as_text()


def parameter_bytes(pieces):
    """Bytes of all parameters, and of those that are split over `fsdp`."""
    leaves = jax.tree.leaves(pieces.abstract_state().params)
    split = [leaf for leaf in leaves if leaf.sharding.shard_shape(leaf.shape) != leaf.shape]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves), sum(
        leaf.size * leaf.dtype.itemsize for leaf in split
    )


def bytes_by_kind(text):
    total = collections.Counter()
    for found in collectives(text):
        total[found.kind] += found.float_bytes
    return total


def table_bytes(pieces, rows):
    return rows * pieces.abstract_state().puzzle_table.shape[1] * 4


def shared_batch():
    return compiled()


def twice_the_batch_by_epochs():
    return compiled(batch_size=32, sampling="epoch_sampling")


def split_parameters_and_table():
    return compiled(data=2, fsdp=4, rows=1024)


@pytest.mark.parametrize("program", [shared_batch, split_parameters_and_table])
def test_devices_communicate_once_per_step_and_never_within_the_recursion(program):
    _, text = program()
    assert max(loops_around(text).values()) >= 3  # loops over steps, cycles and latent updates
    assert {found.loops for found in collectives(text)} == {1}


def reasoner(pieces):
    """The experiment's reasoner at another depth, with two supervision steps."""
    return dataclasses.replace(pieces.reasoner, depth=DEPTH).with_supervision_steps(2)


@pytest.mark.parametrize("program", [shared_batch, split_parameters_and_table])
def test_devices_do_not_communicate_while_they_answer_questions(program):
    pieces, _ = program()
    split = over_batch(pieces.mesh)

    def shaped(*shape, dtype=jnp.int32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=split)

    rollouts = Rollouts(shaped(16, problem.CELLS), *(shaped(16) for _ in range(4)))
    states = (shaped(16, *pieces.model.state_shape, dtype=pieces.model.dtype),) * 2
    think = jax.jit(reasoner(pieces).think_on_mesh)
    params = averaged(pieces.abstract_state())
    text = think.lower(params, states, rollouts).compile().as_text()
    assert max(loops_around(text).values()) >= 3
    assert {found.loops for found in collectives(text)} <= {0}


@pytest.mark.parametrize("program", [shared_batch, split_parameters_and_table])
def test_devices_do_not_communicate_while_puzzles_halt_and_others_replace_them(program):
    pieces, _ = program()
    shaped = functools.partial(
        jax.ShapeDtypeStruct, dtype=jnp.int32, sharding=over_batch(pieces.mesh)
    )
    questions = shaped((64, problem.CELLS)), shaped((64,))
    until_halted = jax.jit(reasoner(pieces).think_until_halted)
    params = averaged(pieces.abstract_state())
    text = until_halted.lower(params, *questions).compile().as_text()
    assert max(loops_around(text).values()) >= 3
    assert {found.loops for found in collectives(text)} <= {0}


def test_devices_that_share_the_batch_sum_one_gradient():
    pieces, text = shared_batch()
    parameters, _ = parameter_bytes(pieces)
    sums = bytes_by_kind(text)
    assert set(sums) == {"all-reduce"}
    gradients = parameters + table_bytes(pieces, rows=3)
    assert gradients <= sums["all-reduce"] <= gradients + SMALL


def test_the_sum_depends_neither_on_the_batch_size_nor_on_the_sampling():
    assert bytes_by_kind(twice_the_batch_by_epochs()[1]) == bytes_by_kind(shared_batch()[1])


def test_sampling_by_epochs_adds_one_integer_for_each_slot():
    def other_bytes(text):
        return sum(found.bytes for found in collectives(text) if not found.float_bytes)

    pieces, epochs = twice_the_batch_by_epochs()
    added = other_bytes(epochs) - other_bytes(shared_batch()[1])
    slots = 4 * pieces.config.batch_size  # a running count of the slots that want an example
    assert slots <= added <= slots + 32


def test_split_parameters_are_gathered_once_and_their_gradients_scattered_once():
    pieces, text = split_parameters_and_table()
    parameters, split = parameter_bytes(pieces)
    assert split > parameters / 2
    bytes_of = bytes_by_kind(text)
    assert bytes_of["all-gather"] == split
    assert bytes_of["reduce-scatter"] == split
    # Over `data`, each device sums its part of the split parameters. All devices sum the other
    # parameters, and three times the puzzle rows of the batch: to read them, for their gradients,
    # and to read them for the update.
    rows = 3 * table_bytes(pieces, rows=pieces.config.batch_size)
    rest = parameters - split + split / 4 + rows
    assert rest <= bytes_of["all-reduce"] <= rest + SMALL


@pytest.mark.parametrize(
    "program", [shared_batch, twice_the_batch_by_epochs, split_parameters_and_table]
)
def test_a_step_sends_as_many_bytes_as_estimated(program):
    pieces, text = program()
    found, expected = +bytes_by_kind(text), collections.Counter()
    for transfer in step_transfers(pieces):
        expected[transfer.kind] += transfer.bytes
    assert set(found) == set(expected)
    for kind in found:
        assert expected[kind] <= found[kind] <= expected[kind] + SMALL


# Syntax of other backends and other releases.
TEXT = """\
HloModule jit_run, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
}

%scattered (p: f32[16,24]) -> f32[4,24] {
  ROOT %rs = f32[4,24]{1,0} reduce-scatter(%p), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%sum
}

%inner (s: f32[8]) -> f32[8] {
  %start = f32[8]{0:T(128)S(1)} all-reduce-start(%s), replica_groups=[2,4]<=[8], to_apply=%sum
  ROOT %done = f32[8]{0:T(128)S(1)} all-reduce-done(%start)
}

%test (s: f32[8]) -> pred[] {
  ROOT %less = pred[] compare(%s, %s)
}

ENTRY %main (x: f32[8], y: bf16[2,4]) -> f32[8] {
  %g = (bf16[2,4]{1,0:T(8,128)(2,1)}, bf16[16,4]{1,0}) all-gather-start(%y), \
replica_groups=mesh['data'=2,'fsdp'=8] {'fsdp'}, metadata={op_name="jit(run)/gather"}
  %t = (f32[2]{0}, /*index=1*/s32[3]{0}) all-reduce(%a, %b), \
replica_groups=mesh['data'=2,'fsdp'=8] {'data','fsdp'}, to_apply=%sum
  %p = (u32[5]{0}, u32[5]{0}, u32[], u32[]) collective-permute-start(%c), \
source_target_pairs={{0,1},{1,0}}
  %r = ((f32[16,24]{1,0}), f32[4,24]{1,0}, s32[]) async-start(%d), calls=%scattered
  ROOT %loop = f32[8]{0} while(%x), condition=%test, body=%inner
}
"""


def test_every_syntax_of_a_collective_is_parsed():
    found = {one.kind + str(one.loops): one for one in collectives(TEXT)}
    assert len(found) == 5
    assert found["reduce-scatter0"][1:5] == (("f32[4,24]",), 16 * 24 * 4, 16 * 24 * 4, 4)
    assert found["all-reduce1"][1:5] == (("f32[8]",), 32, 32, 4)
    assert found["all-gather0"][1:5] == (("bf16[16,4]",), 128, 128, 8)
    assert found["all-gather0"].name == "jit(run)/gather"
    assert found["all-reduce0"][1:5] == (("f32[2]", "s32[3]"), 20, 8, 16)
    assert found["collective-permute0"][1:3] == (("u32[5]",), 20)
