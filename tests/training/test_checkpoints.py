"""Checkpoints: the state is restored bit for bit, damage is found, other settings are refused."""

import json
import logging

import chex
import jax
import jax.numpy as jnp
import pytest

from cgar_jax.training.checkpoints import CheckpointError, Checkpoints, checksum
from cgar_jax.training.clock import Clock
from tests.training import problem

SETTINGS = {"optimizer": {"learning_rate": 0.1}, "checkpoint": {"every_steps": 5}, "stages": (1, 2)}


@pytest.fixture(scope="module")
def state():
    """A train state; `at` gives it a step number by which it is recognized."""
    return problem.build()[2]


def abstract(state):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
    )


def at(state, step):
    return state._replace(step=jnp.asarray(step, jnp.int32))


@pytest.fixture
def saved(tmp_path, state):
    """A workdir with checkpoints 5 and 10."""
    with Checkpoints(tmp_path, SETTINGS, keep=3) as checkpoints:
        for step in (5, 10):
            checkpoints.save(at(state, step), step, Clock(train_seconds=float(step)))
    return tmp_path


def restore(workdir, state, settings=SETTINGS):
    with Checkpoints(workdir, settings, keep=3) as checkpoints:
        return checkpoints.restore(abstract(state))


def largest_file(folder):
    return max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def test_the_whole_state_is_restored_bit_for_bit(saved, state):
    restored = restore(saved, state).state
    chex.assert_trees_all_equal(restored._replace(key=None), at(state, 10)._replace(key=None))
    chex.assert_trees_all_equal(jax.random.key_data(restored.key), jax.random.key_data(state.key))


def test_the_clock_is_restored(saved, state):
    assert restore(saved, state).clock == Clock(train_seconds=10.0)


def test_an_empty_folder_restores_nothing(tmp_path, state):
    assert restore(tmp_path, state) is None


def test_only_the_newest_checkpoints_are_kept(tmp_path, state):
    with Checkpoints(tmp_path, SETTINGS, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(at(state, step), step, Clock())
    assert sorted(f.name for f in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]


def flip_bits(file):
    # Flips bits all over the file, because some of its bytes belong to no array.
    content = bytearray(file.read_bytes())
    for position in range(20, len(content), 40):
        content[position] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: file.unlink(),
        flip_bits,
    ],
    ids=["truncated", "deleted", "bits flipped"],
)
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_it_is_used(
    saved, state, damage, caplog
):
    damage(largest_file(saved / "checkpoints" / "10"))
    with caplog.at_level(logging.WARNING):
        restored = restore(saved, state).state
    assert int(restored.step) == 5
    assert "checkpoints/10 is damaged" in caplog.text


def test_a_checkpoint_whose_checksum_does_not_match_is_not_used(saved, state):
    (about,) = (saved / "checkpoints" / "10" / "about").glob("metadata")
    content = json.loads(about.read_text())
    about.write_text(json.dumps(content | {"checksum": content["checksum"] ^ 1}))
    assert int(restore(saved, state).state.step) == 5


def test_a_damaged_checkpoint_is_renamed_and_its_step_can_be_saved_again(saved, state):
    largest_file(saved / "checkpoints" / "10").unlink()
    with Checkpoints(saved, SETTINGS, keep=3) as checkpoints:
        checkpoints.restore(abstract(state))
        checkpoints.save(at(state, 10), 10, Clock())
    assert (saved / "checkpoints" / "damaged-10").is_dir()
    assert int(restore(saved, state).state.step) == 10


def test_a_run_does_not_restart_from_step_zero_when_all_checkpoints_are_damaged(saved, state):
    for step in ("5", "10"):
        largest_file(saved / "checkpoints" / step).unlink()
    with pytest.raises(CheckpointError, match=r"all checkpoints in .* are damaged"):
        restore(saved, state)


def test_another_config_is_refused_with_an_error_that_names_the_difference(saved, state):
    other = SETTINGS | {"optimizer": {"learning_rate": 0.2}}
    with pytest.raises(
        CheckpointError, match=r"optimizer.learning_rate: 0.1 in the checkpoint, 0.2 now"
    ):
        restore(saved, state, other)


def test_the_checkpoint_interval_may_change_when_a_run_is_resumed(saved, state):
    assert restore(saved, state, SETTINGS | {"checkpoint": {"every_steps": 7}}) is not None


def test_the_checksum_detects_one_changed_number(state):
    changed = state._replace(
        constants=jax.tree.map(lambda leaf: leaf.at[0].add(1e-3), state.constants)
    )
    assert int(checksum(state)) != int(checksum(changed))


def test_the_checksum_detects_two_swapped_numbers(state):
    y = state.constants["initial_y"]
    swapped = {**state.constants, "initial_y": y.at[:2].set(y[1::-1])}
    assert int(checksum(state)) != int(checksum(state._replace(constants=swapped)))
