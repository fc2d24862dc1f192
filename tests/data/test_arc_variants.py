"""Tokens of ARC grids, and variants of puzzles on the host and on the device."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import IGNORE_LABEL
from cgar_jax.data.families.arc import ArcPuzzle, decode, draw_variants, encode, read_set
from cgar_jax.data.families.arc.augmentation import render
from cgar_jax.data.symmetries import transform
from tests.data.arc_puzzles import SIZE, puzzle, random_grid

PUBLISHED = pathlib.Path(os.environ.get("CGAR_ARC", "../shared/data/arc"))

grids = st.integers(0, 10**6).map(lambda seed: random_grid(np.random.default_rng(seed)))


# Tokens


def test_tokens_are_the_published_ones():
    canvas = encode(np.array([[0, 9], [3, 0], [1, 1]]), size=4).reshape(4, 4)
    expected = [[2, 11, 1, 0], [5, 2, 1, 0], [3, 3, 1, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(canvas, expected)


@given(grids)
def test_decode_undoes_encode(grid):
    np.testing.assert_array_equal(decode(encode(grid, SIZE)), grid)


def test_a_grid_as_large_as_the_canvas_has_no_end_marks():
    assert encode(np.zeros((3, 3), int), size=3).tolist() == [2] * 9


def test_a_malformed_answer_is_decoded_to_its_largest_rectangle_of_colors():
    answer = [[5, 5, 5, 1], [5, 0, 5, 5], [5, 5, 5, 5], [1, 5, 5, 5]]
    # Rectangles from the corner: 1x3, 2x1, 3x1; the largest of equal area has the fewest rows.
    assert decode(np.array(answer).reshape(-1)).tolist() == [[3, 3, 3]]


def test_an_answer_whose_first_cell_is_no_color_is_a_grid_without_cells():
    assert decode(np.array([1, 5, 5, 5])).size == 0


# Variants


def published_transform(grid, index):
    """The eight symmetries, spelled out under the numbers of the published data sets."""
    return [
        grid,
        np.rot90(grid),
        np.rot90(grid, 2),
        np.rot90(grid, 3),
        np.fliplr(grid),
        np.flipud(grid),
        grid.T,
        np.fliplr(np.rot90(grid)),
    ][index]


def variant_of(pair, transform_index, colors):
    return [colors[published_transform(grid, transform_index)] for grid in pair]


def contents(p, variants):
    """Returns the pairs of each variant of a puzzle, in an order that does not matter."""
    return [
        tuple(
            sorted(
                b"|".join(bytes(g.shape) + g.tobytes() for g in variant_of(pair, *variant))
                for pair in p.demonstrations + p.tests
            )
        )
        for variant in zip(variants.transforms, variants.colors, strict=True)
    ]


def two_colors(pairs):
    return [tuple(grid % 2 for grid in pair) for pair in pairs]


def symmetric(pairs):
    """Adds the mirror image of each pair, so that mirroring a puzzle only reorders its pairs."""
    return pairs + [tuple(np.fliplr(grid) for grid in pair) for pair in pairs]


@pytest.mark.parametrize("shape", [list, two_colors, symmetric])
def test_no_two_variants_of_a_puzzle_are_equal(shape):
    p = puzzle()
    p = p._replace(demonstrations=shape(p.demonstrations), tests=shape(p.tests))
    found = contents(p, draw_variants([p], 200, seed=0))
    assert len(set(found)) == len(found)


def test_every_variant_of_a_puzzle_with_two_colors_is_found():
    p = puzzle()
    p = ArcPuzzle("0a", two_colors(p.demonstrations), two_colors(p.tests))
    # Eight symmetries, and nine colors for the one that is not black.
    assert len(draw_variants([p], 1000, seed=0).transforms) == 72


def test_there_are_as_many_variants_as_asked_for_in_addition_to_the_puzzle():
    assert len(draw_variants([puzzle()], 200, seed=0).transforms) == 201


def test_the_first_variant_is_the_puzzle_itself():
    variants = draw_variants([puzzle(0, "a"), puzzle(1, "b")], 30, seed=0)
    for first in variants.firsts[:-1]:
        assert variants.transforms[first] == 0
        np.testing.assert_array_equal(variants.colors[first], np.arange(10))


def test_black_stays_black():
    variants = draw_variants([puzzle()], 200, seed=0)
    assert (variants.colors[:, 0] == 0).all()
    np.testing.assert_array_equal(np.sort(variants.colors, 1), np.tile(np.arange(10), (201, 1)))


def test_the_variants_of_a_puzzle_do_not_depend_on_other_puzzles():
    single = draw_variants([puzzle(1, "b")], 50, seed=0)
    second = draw_variants([puzzle(0, "a"), puzzle(1, "b")], 50, seed=0).firsts[1]
    both = draw_variants([puzzle(0, "a"), puzzle(1, "b")], 50, seed=0)
    np.testing.assert_array_equal(single.colors, both.colors[second:])
    np.testing.assert_array_equal(single.transforms, both.transforms[second:])


def test_another_seed_draws_other_variants():
    first, second = (draw_variants([puzzle()], 50, seed).colors for seed in (0, 1))
    assert (first != second).any()


@given(grids, st.integers(0, 30))
def test_undo_returns_the_original_grid(grid, identifier):
    variants = draw_variants([puzzle()], 30, seed=0)
    (varied,) = variant_of([grid], variants.transforms[identifier], variants.colors[identifier])
    np.testing.assert_array_equal(variants.undo(identifier, varied), grid)


# Rendering


def rendered(pair, transform_index=0, colors=range(10), place=(0.0, 0.0)):
    question, answer = (encode(grid, SIZE) for grid in pair)
    out = jax.jit(render)(
        jnp.asarray(question, jnp.int32),
        jnp.where(answer == 0, IGNORE_LABEL, answer.astype(np.int32)),
        jnp.uint8(transform_index),
        jnp.array(colors, jnp.uint8),
        jnp.array(place),
    )
    return [np.asarray(tokens) for tokens in out]


@given(grids, grids, st.integers(0, 7), st.permutations(range(1, 10)))
def test_the_device_renders_the_same_variant_as_numpy(question, answer, index, renamed):
    colors = np.array([0, *renamed], np.uint8)
    found = rendered((question, answer), index, colors)
    expected = [encode(g, SIZE) for g in variant_of((question, answer), index, colors)]
    np.testing.assert_array_equal(found[0], expected[0])
    labels = np.where(expected[1] == 0, IGNORE_LABEL, expected[1].astype(int))
    np.testing.assert_array_equal(found[1], labels)


@given(grids, grids, st.tuples(*[st.sampled_from([0.0, 0.3, 0.5, 0.99])] * 2))
def test_a_moved_pair_stays_complete_and_both_grids_move_equally(question, answer, place):
    corners = []
    pair = question, answer
    for tokens, grid in zip(rendered(pair, place=place), pair, strict=True):
        canvas = tokens.reshape(SIZE, SIZE)
        rows, columns = np.nonzero(canvas >= 2)
        corner = rows.min(), columns.min()
        part = canvas[corner[0] :, corner[1] :]
        np.testing.assert_array_equal(part[: grid.shape[0], : grid.shape[1]] - 2, grid)
        assert (part >= 2).sum() == grid.size
        corners.append(corner)
    assert corners[0] == corners[1]


def test_a_moved_grid_has_its_end_marks_beside_it():
    canvas = rendered((np.array([[4]]), np.array([[4]])), place=(0.3, 0.5))[0].reshape(SIZE, SIZE)
    marks = np.argwhere(canvas == 1) - np.argwhere(canvas == 6)
    assert marks.tolist() == [[0, 1], [1, 0]]


# The published puzzles

published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"no ARC files in {PUBLISHED}")


@published
@pytest.mark.parametrize(
    ("name", "num_puzzles", "num_demonstrations", "num_tests"),
    [
        ("training", 400, 1302, 416),
        ("evaluation", 400, 1363, 419),
        ("training2", 1000, 3232, 1076),
        ("evaluation2", 120, 358, 172),
        ("concept", 160, 427, 480),
    ],
)
def test_all_puzzles_of_the_published_sets_are_read(
    name, num_puzzles, num_demonstrations, num_tests
):
    puzzles = read_set(PUBLISHED, name)
    assert len(puzzles) == num_puzzles
    assert sum(len(p.demonstrations) for p in puzzles) == num_demonstrations
    assert sum(len(p.tests) for p in puzzles) == num_tests


@published
def test_no_two_variants_of_a_published_puzzle_are_equal():
    puzzles = read_set(PUBLISHED, "evaluation")[:20]
    for p in puzzles:
        found = contents(p, draw_variants([p], 100, seed=0))
        assert len(set(found)) == len(found)


def test_transforms_have_the_published_numbers():
    grid = np.arange(6).reshape(2, 3)
    for index in range(8):
        np.testing.assert_array_equal(transform(grid, index), published_transform(grid, index))
