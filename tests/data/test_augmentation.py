"""Augmentation on the device, for the symmetries of Sudokus and of mazes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.data import identity_augmentation, maze, rules_of
from cgar_jax.data.augmentation import GridAugmentation, augmentation_for
from cgar_jax.data.families.sudoku import Grid, canonical_form, generate
from cgar_jax.data.symmetries import transformed_cells

SIZES = [4, 6, 9]
CLUES = {4: 5, 6: 14, 9: 32}


def augment(key, batch, family="sudoku"):
    symmetries = rules_of(family).symmetries(batch["inputs"].shape[-1])
    return jax.jit(augmentation_for(symmetries))(key, batch)


def columns(puzzles):
    return {
        "inputs": jnp.array([p.question for p in puzzles], jnp.int32),
        "labels": jnp.array([p.answer for p in puzzles], jnp.int32),
        "puzzle_identifiers": jnp.arange(len(puzzles)),
        "difficulty": jnp.linspace(0, 1, len(puzzles)),
    }


def sudokus(size, num=8):
    return columns(generate(Grid.of_size(size), num, seed=0, num_clues=CLUES[size]))


def one_sudoku(size, num):
    """A batch that holds one puzzle `num` times."""
    return {name: jnp.repeat(values[:1], num, axis=0) for name, values in sudokus(size).items()}


# Sudoku


@pytest.mark.parametrize("size", SIZES)
def test_variants_are_equivalent_to_their_puzzles(size):
    batch = sudokus(size)
    variants = augment(jax.random.key(0), batch)
    for index in range(8):
        np.testing.assert_array_equal(
            canonical_form(*(np.array(variants[k][index], np.uint8) for k in ("inputs", "labels"))),
            canonical_form(*(np.array(batch[k][index], np.uint8) for k in ("inputs", "labels"))),
        )


@pytest.mark.parametrize("size", SIZES)
def test_variants_obey_the_rules(size):
    labels = augment(jax.random.key(0), sudokus(size))["labels"]
    assert not Grid.of_size(size).broken_units(np.asarray(labels)).any()


def test_answers_of_variants_keep_the_clues():
    variants = augment(jax.random.key(0), sudokus(9))
    is_clue = variants["inputs"] > 1
    assert (is_clue.sum(axis=1) == 32).all()
    assert (
        jnp.where(is_clue, variants["inputs"], 0) == jnp.where(is_clue, variants["labels"], 0)
    ).all()


def test_copies_of_a_puzzle_in_one_batch_become_different():
    variants = augment(jax.random.key(0), one_sudoku(9, 64))
    assert len({row.tobytes() for row in np.asarray(variants["inputs"])}) == 64


def test_another_key_gives_other_variants():
    batch = sudokus(9)
    first, second = (augment(jax.random.key(seed), batch)["inputs"] for seed in (0, 1))
    assert (first != second).any(axis=1).all()


def test_the_same_key_gives_the_same_variants():
    batch = sudokus(9)
    first, second = (augment(jax.random.key(0), batch)["inputs"] for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("name", ["puzzle_identifiers", "difficulty"])
def test_other_columns_are_unchanged(name):
    batch = sudokus(6)
    np.testing.assert_array_equal(augment(jax.random.key(0), batch)[name], batch[name])


def transposed_share(size):
    """Returns the share of 512 variants in which the cells of a row form a column."""
    # Each row has a token of its own; augmentation does not mind that the rules are broken.
    rows = jnp.repeat(jnp.arange(size) + 2, size)
    tokens = jnp.tile(rows, (512, 1))
    out = augment(jax.random.key(0), {"inputs": tokens, "labels": tokens})["inputs"]
    first_row = out.reshape(-1, size, size)[:, 0]
    return float((first_row != first_row[:, :1]).any(axis=1).mean())


@pytest.mark.parametrize("size", [4, 9])
def test_half_of_the_grids_with_square_boxes_are_transposed(size):
    assert 0.4 < transposed_share(size) < 0.6


def test_no_6x6_grid_is_transposed():
    assert transposed_share(6) == 0


def test_every_order_of_rows_that_keeps_bands_together_occurs():
    rows = jnp.tile(jnp.repeat(jnp.arange(6), 6), (4096, 1))
    # Negative numbers are not renamed, so they show where each row went.
    out = augment(jax.random.key(0), {"inputs": rows - 6, "labels": rows - 6})["inputs"]
    orders = np.unique(np.asarray(out)[:, ::6], axis=0)
    assert len(orders) == 3 * 2 * 2**3  # 3! orders of bands, 2 orders within each of 3 bands


def test_every_order_of_columns_that_keeps_stacks_together_occurs():
    columns = jnp.tile(jnp.arange(6), (4096, 6))
    out = augment(jax.random.key(0), {"inputs": columns - 6, "labels": columns - 6})["inputs"]
    assert len(np.unique(np.asarray(out)[:, :6], axis=0)) == 2 * 6**2


def test_a_digit_is_renamed_to_every_digit_equally_often():
    constant = jnp.full((2048, 16), 2)
    out = augment(jax.random.key(0), {"inputs": constant, "labels": constant})["inputs"]
    counts = np.unique(np.asarray(out)[:, 0], return_counts=True)[1]
    assert len(counts) == 4
    assert counts.min() > 400


def test_padding_and_ignored_labels_are_unchanged():
    batch = {"inputs": jnp.zeros((4, 81), jnp.int32), "labels": jnp.full((4, 81), -100)}
    variants = augment(jax.random.key(0), batch)
    assert (variants["inputs"] == 0).all()
    assert (variants["labels"] == -100).all()


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32])
def test_dtypes_are_unchanged(dtype):
    batch = {name: values.astype(dtype) for name, values in sudokus(6).items()}
    assert augment(jax.random.key(0), batch)["inputs"].dtype == dtype


def test_variants_do_not_depend_on_the_sharding_of_the_batch():
    batch = sudokus(6)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    on_one = augment(jax.random.key(0), batch)["inputs"]
    on_eight = augment(jax.random.key(0), jax.device_put(batch, sharding))["inputs"]
    np.testing.assert_array_equal(on_one, on_eight)


# Fixed values, so that a change of the code does not change the runs of a seed.


def test_the_key_determines_the_variant_of_a_sudoku():
    tokens = jnp.tile(jnp.arange(2, 6), (1, 4))
    drawn = augment(jax.random.key(7), {"inputs": tokens, "labels": tokens})["inputs"]
    assert drawn.tolist() == [[2] * 4 + [4] * 4 + [3] * 4 + [5] * 4]


def test_the_key_determines_the_variants_of_mazes():
    cells = jnp.tile(jnp.arange(9), (4, 1))
    drawn = augment(jax.random.key(7), {"inputs": cells, "labels": cells}, "maze")["inputs"]
    assert drawn[:, :2].tolist() == [[8, 5], [0, 3], [2, 1], [6, 7]]


# Mazes


def test_augmentation_transforms_question_and_answer_of_a_maze_alike():
    puzzles = columns(maze.generate(11, 6, seed=0, loops=0.2, num_workers=1))
    batch = {name: np.concatenate([values] * 8) for name, values in puzzles.items()}
    drawn = augment(jax.random.key(0), batch, "maze")
    assert not any(rules_of("maze").answer_faults(drawn["inputs"], drawn["labels"]))
    assert len({np.asarray(row).tobytes() for row in drawn["inputs"]}) > 30
    np.testing.assert_array_equal(drawn["difficulty"], batch["difficulty"])


def test_each_transform_of_a_maze_is_drawn_about_equally_often():
    question = maze.generate(11, 1, seed=0)[0].question.astype(np.int32)
    batch = {"inputs": np.tile(question, (4000, 1)), "labels": np.tile(question, (4000, 1))}
    drawn = np.asarray(augment(jax.random.key(1), batch, "maze")["inputs"])
    orders = transformed_cells(11)
    counts = [(drawn == question[order]).all(axis=1).sum() for order in orders]
    assert sum(counts) == 4000
    assert min(counts) > 400


# All


def test_no_symmetries_means_the_identity():
    assert augmentation_for(None) is identity_augmentation


def test_augmentations_with_equal_symmetries_are_equal():
    first, second = (GridAugmentation(rules_of("sudoku").symmetries(81)) for _ in range(2))
    assert (first, hash(first)) == (second, hash(second))


def test_puzzles_of_another_size_than_the_symmetries_are_an_error():
    augmentation = augmentation_for(rules_of("maze").symmetries(25))
    with pytest.raises(ValueError, match="the puzzles have 36 cells; expected 25"):
        augmentation(jax.random.key(0), {"inputs": np.zeros((1, 36)), "labels": np.zeros((1, 36))})
