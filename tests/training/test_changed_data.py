"""A train state that continues on changed data keeps what was learned, each row by its puzzle."""

import jax
import numpy as np
import pytest

from cgar_jax.data import Fingerprint
from cgar_jax.training.changed_data import continue_on
from cgar_jax.training.checkpoints import CheckpointError, Checkpoints, Restored
from cgar_jax.training.clock import Clock
from tests.training import problem

ONE, TWO = "0" * 11, "1" * 11  # the digits of two variants


def fingerprint(num_examples=3, **variants):
    puzzles = {name: {"pairs": name, "variants": text} for name, text in variants.items()}
    return Fingerprint({"num_examples": num_examples}, puzzles)


@pytest.fixture(scope="module")
def built():
    return problem.build()


def learned(built):
    """A state whose puzzle table has the row number in each row."""
    experiment, _, state = built
    table = np.broadcast_to(np.arange(3.0, dtype=np.float32)[:, None], state.puzzle_table.shape)
    halted = np.zeros_like(state.carry.halted)
    return state._replace(
        step=jax.numpy.int32(7),
        puzzle_table=jax.device_put(table, state.puzzle_table.sharding),
        carry=state.carry._replace(halted=halted),
    ), experiment.initial_state()


def continued(built, before, now):
    state, initial = learned(built)
    return continue_on(Restored(state, Clock(), before), now, initial), state


def test_each_embedding_follows_its_puzzle_and_new_ones_are_untrained(built):
    found, _ = continued(built, fingerprint(a=ONE, b=ONE + TWO), fingerprint(new=ONE, b=TWO, a=ONE))
    assert np.asarray(found.puzzle_table)[:, 0].tolist() == [0, 2, 0]


def test_the_batch_starts_anew_and_the_parameters_are_kept(built):
    found, before = continued(built, fingerprint(a=ONE), fingerprint(b=ONE))
    assert found.carry.halted.all()
    assert int(found.step) == 7
    jax.tree.map(np.testing.assert_array_equal, found.params, before.params)
    jax.tree.map(np.testing.assert_array_equal, found.optimizer_state, before.optimizer_state)


def test_embeddings_whose_puzzles_are_unknown_are_an_error(built):
    with pytest.raises(
        CheckpointError, match="does not record which puzzles its embeddings belong"
    ):
        continued(built, None, fingerprint(a=ONE))


def test_another_number_of_embeddings_without_names_is_an_error(built):
    state, initial = learned(built)
    fewer = state._replace(puzzle_table=state.puzzle_table[:2])
    with pytest.raises(CheckpointError, match="has 2 puzzle embeddings, but the data need 3"):
        continue_on(Restored(fewer, Clock(), fingerprint(2)), fingerprint(3), initial)


SETTINGS = {
    "data": {"num_clues": 6, "num_domains": 10},
    "task": {"vocab_size": 6, "num_puzzle_identifiers": 3},
}


@pytest.fixture
def saved(built, tmp_path):
    with Checkpoints(tmp_path, SETTINGS, 1, trained_on=fingerprint(3)) as checkpoints:
        checkpoints.save(built[2], 5, Clock())
    return tmp_path


def restore(built, saved, settings, trained_on, allowed):
    with Checkpoints(saved, settings, 1, trained_on=trained_on) as checkpoints:
        return checkpoints.restore(built[0].abstract_state(), allowed)


CLUES = SETTINGS | {"data": {"num_clues": 8, "num_domains": 10}}


@pytest.mark.parametrize(
    ("settings", "num_examples", "change"),
    [
        (SETTINGS, 4, "3 training examples before, 4 now"),
        (CLUES, 3, "data.num_clues: 6 in the checkpoint, 8 now"),
    ],
)
def test_changed_data_are_refused_unless_they_are_allowed(
    built, saved, settings, num_examples, change
):
    now = fingerprint(num_examples)
    with pytest.raises(CheckpointError, match="was written by training on other data") as raised:
        restore(built, saved, settings, now, False)
    assert change in str(raised.value)
    assert "--allow_changed_data" in str(raised.value)
    restored = restore(built, saved, settings, now, True)
    assert restored.trained_on == fingerprint(3)


@pytest.mark.parametrize(
    "other",
    [
        {"task": {"vocab_size": 7, "num_puzzle_identifiers": 3}},
        {"data": {"num_clues": 6, "num_domains": 5}},
        {"model": {"hidden_size": 32}},
    ],
)
def test_data_that_the_model_does_not_fit_are_refused_even_if_changes_are_allowed(
    built, saved, other
):
    with pytest.raises(CheckpointError, match="was written with other settings"):
        restore(built, saved, SETTINGS | other, fingerprint(4), True)
    assert (saved / "checkpoints" / "5").is_dir()


def test_a_table_of_another_size_is_restored_with_its_own_rows(built, saved):
    task = {"vocab_size": 6, "num_puzzle_identifiers": 8}
    state = built[0].abstract_state()
    table = state.puzzle_table
    larger = jax.ShapeDtypeStruct((8, table.shape[1]), table.dtype, sharding=table.sharding)
    with Checkpoints(saved, SETTINGS | {"task": task}, 1, trained_on=fingerprint(4)) as checkpoints:
        restored = checkpoints.restore(state._replace(puzzle_table=larger), True)
    assert restored.state.puzzle_table.shape == table.shape
