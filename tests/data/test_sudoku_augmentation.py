import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.data.families.sudoku import Grid, augmentation, canonical_form, generate

augment = jax.jit(augmentation.augment)

SIZES = [4, 6, 9]
CLUES = {4: 5, 6: 14, 9: 32}


def batch_of(size, num=8):
    puzzles = generate(Grid.of_size(size), num, seed=0, num_clues=CLUES[size])
    return {
        "inputs": jnp.array([p.question for p in puzzles], jnp.int32),
        "labels": jnp.array([p.answer for p in puzzles], jnp.int32),
        "puzzle_identifiers": jnp.arange(num),
        "difficulty": jnp.linspace(0, 1, num),
    }


def same_puzzle(size, num):
    """A batch that holds one puzzle ``num`` times."""
    return {name: jnp.repeat(values[:1], num, axis=0) for name, values in batch_of(size).items()}


@pytest.mark.parametrize("size", SIZES)
def test_variants_are_equivalent_to_their_puzzles(size):
    batch = batch_of(size)
    variants = augment(jax.random.key(0), batch)
    for index in range(8):
        np.testing.assert_array_equal(
            canonical_form(*(np.array(variants[k][index], np.uint8) for k in ("inputs", "labels"))),
            canonical_form(*(np.array(batch[k][index], np.uint8) for k in ("inputs", "labels"))),
        )


@pytest.mark.parametrize("size", SIZES)
def test_variants_obey_the_rules(size):
    labels = augment(jax.random.key(0), batch_of(size))["labels"]
    assert not Grid.of_size(size).broken_units(np.asarray(labels)).any()


def test_variants_keep_their_clues_in_their_answers():
    variants = augment(jax.random.key(0), batch_of(9))
    is_clue = variants["inputs"] > 1
    assert (is_clue.sum(axis=1) == 32).all()
    assert (
        jnp.where(is_clue, variants["inputs"], 0) == jnp.where(is_clue, variants["labels"], 0)
    ).all()


def test_copies_of_a_puzzle_in_one_batch_become_different():
    variants = augment(jax.random.key(0), same_puzzle(9, 64))
    assert len({row.tobytes() for row in np.asarray(variants["inputs"])}) == 64


def test_another_key_gives_other_variants():
    batch = batch_of(9)
    first, second = (augment(jax.random.key(seed), batch)["inputs"] for seed in (0, 1))
    assert (first != second).any(axis=1).all()


def test_the_same_key_gives_the_same_variants():
    batch = batch_of(9)
    first, second = (augment(jax.random.key(0), batch)["inputs"] for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("name", ["puzzle_identifiers", "difficulty"])
def test_all_but_the_grids_stays_as_it_is(name):
    batch = batch_of(6)
    np.testing.assert_array_equal(augment(jax.random.key(0), batch)[name], batch[name])


def transposed_share(size):
    """How often cells of one row end up in one column, for 512 variants."""
    # Rows are told apart by their tokens, which is all that augmentation looks at.
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


def test_every_row_order_that_keeps_bands_together_comes_up():
    rows = jnp.tile(jnp.repeat(jnp.arange(6), 6), (4096, 1))
    # Negative numbers pass through unnamed, so that they show where each row went.
    out = augment(jax.random.key(0), {"inputs": rows - 6, "labels": rows - 6})["inputs"]
    orders = np.unique(np.asarray(out)[:, ::6], axis=0)
    assert len(orders) == 3 * 2 * 2**3  # 3! orders of bands, 2 orders within each of 3 bands


def test_every_column_order_that_keeps_stacks_together_comes_up():
    columns = jnp.tile(jnp.arange(6), (4096, 6))
    out = augment(jax.random.key(0), {"inputs": columns - 6, "labels": columns - 6})["inputs"]
    assert len(np.unique(np.asarray(out)[:, :6], axis=0)) == 2 * 6**2


def test_a_digit_is_renamed_to_every_digit_alike():
    constant = jnp.full((2048, 16), 2)
    out = augment(jax.random.key(0), {"inputs": constant, "labels": constant})["inputs"]
    counts = np.unique(np.asarray(out)[:, 0], return_counts=True)[1]
    assert len(counts) == 4
    assert counts.min() > 400


def test_padding_and_ignored_labels_stay_what_they_are():
    batch = {"inputs": jnp.zeros((4, 81), jnp.int32), "labels": jnp.full((4, 81), -100)}
    variants = augment(jax.random.key(0), batch)
    assert (variants["inputs"] == 0).all()
    assert (variants["labels"] == -100).all()


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32])
def test_dtypes_stay_what_they_are(dtype):
    batch = {name: values.astype(dtype) for name, values in batch_of(6).items()}
    assert augment(jax.random.key(0), batch)["inputs"].dtype == dtype


def test_variants_do_not_depend_on_how_the_batch_is_sharded():
    batch = batch_of(6)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    on_one = augment(jax.random.key(0), batch)["inputs"]
    on_eight = augment(jax.random.key(0), jax.device_put(batch, sharding))["inputs"]
    np.testing.assert_array_equal(on_one, on_eight)
