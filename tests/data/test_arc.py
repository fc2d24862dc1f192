"""ARC puzzles: files, tokens, variants, and what is trained on."""

import collections
import json
import logging
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import data
from cgar_jax.data import IGNORE_LABEL
from cgar_jax.data.arc import ArcPuzzle, decode, draw_variants, encode, read_set
from cgar_jax.data.arc.augmentation import render
from cgar_jax.data.dihedral import transform

PUBLISHED = pathlib.Path(os.environ.get("CGAR_ARC", "../shared/data/arc"))
SIZE = 6

grids = st.integers(0, 10**6).map(lambda seed: random_grid(np.random.default_rng(seed)))


def random_grid(rng, size=SIZE):
    return rng.integers(0, 10, rng.integers(1, size + 1, 2)).astype(np.uint8)


def random_pairs(rng, num):
    return [(random_grid(rng), random_grid(rng)) for _ in range(num)]


def puzzle(seed=0, name="0a"):
    rng = np.random.default_rng(seed)
    return ArcPuzzle(name, random_pairs(rng, 3), random_pairs(rng, 1))


def as_json(pairs):
    return [{"input": a.tolist(), "output": b.tolist()} for a, b in pairs]


def write_set(folder, name, puzzles):
    """Writes challenges and solutions, which tests may then break."""
    challenges = {
        p.name: {
            "train": as_json(p.demonstrations),
            "test": [{"input": pair["input"]} for pair in as_json(p.tests)],
        }
        for p in puzzles
    }
    solutions = {p.name: [output.tolist() for _, output in p.tests] for p in puzzles}
    write_json(folder, name, challenges, solutions)
    return challenges, solutions


def write_json(folder, name, challenges, solutions):
    (folder / f"arc-agi_{name}_challenges.json").write_text(json.dumps(challenges))
    (folder / f"arc-agi_{name}_solutions.json").write_text(json.dumps(solutions))


@pytest.fixture
def folder(tmp_path):
    write_set(tmp_path, "training", [puzzle(n, f"train{n}") for n in range(4)])
    write_set(tmp_path, "evaluation", [puzzle(9 + n, f"eval{n}") for n in range(3)])
    return tmp_path


def config(folder, **changes):
    return {
        "name": "arc",
        "source": str(folder),
        "sets": ("training", "evaluation"),
        "size": SIZE,
        "num_variants": 20,
        "augment": True,
        "cache_dir": str(folder / "cache"),
        **changes,
    }


# Tokens


def test_tokens_are_those_published():
    canvas = encode(np.array([[0, 9], [3, 0], [1, 1]]), size=4).reshape(4, 4)
    expected = [[2, 11, 1, 0], [5, 2, 1, 0], [3, 3, 1, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(canvas, expected)


@given(grids)
def test_a_grid_is_read_back_from_its_tokens(grid):
    np.testing.assert_array_equal(decode(encode(grid, SIZE)), grid)


def test_a_grid_as_large_as_the_canvas_has_no_end_marks():
    assert encode(np.zeros((3, 3), int), size=3).tolist() == [2] * 9


def test_of_a_malformed_answer_the_largest_rectangle_of_colours_is_read():
    answer = [[5, 5, 5, 1], [5, 0, 5, 5], [5, 5, 5, 5], [1, 5, 5, 5]]
    # Rectangles from the corner: 1x3, 2x1, 3x1; the largest of equal area has the fewest rows.
    assert decode(np.array(answer).reshape(-1)).tolist() == [[3, 3, 3]]


def test_an_answer_that_begins_with_no_colour_is_a_grid_without_cells():
    assert decode(np.array([1, 5, 5, 5])).size == 0


# Variants


def published_transform(grid, index):
    """The eight symmetries by the numbers of the published data sets, spelt out."""
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


def variant_of(pair, transform_index, colours):
    return [colours[published_transform(grid, transform_index)] for grid in pair]


def contents(p, variants):
    """What each variant of a puzzle is, its pairs in any order."""
    return [
        tuple(
            sorted(
                b"|".join(bytes(g.shape) + g.tobytes() for g in variant_of(pair, *variant))
                for pair in p.demonstrations + p.tests
            )
        )
        for variant in zip(variants.transforms, variants.colours, strict=True)
    ]


def few_colours(pairs):
    return [tuple(grid % 2 for grid in pair) for pair in pairs]


def symmetric(pairs):
    """Each pair, and its mirror image: a mirrored puzzle has the same pairs in another order."""
    return pairs + [tuple(np.fliplr(grid) for grid in pair) for pair in pairs]


@pytest.mark.parametrize("shape", [list, few_colours, symmetric])
def test_no_variant_of_a_puzzle_comes_twice(shape):
    p = puzzle()
    p = p._replace(demonstrations=shape(p.demonstrations), tests=shape(p.tests))
    found = contents(p, draw_variants([p], 200, seed=0))
    assert len(set(found)) == len(found)


def test_every_variant_of_a_puzzle_of_two_colours_is_found():
    p = puzzle()
    p = ArcPuzzle("0a", few_colours(p.demonstrations), few_colours(p.tests))
    # Eight symmetries, and nine colours for the one that is not black.
    assert len(draw_variants([p], 1000, seed=0).transforms) == 72


def test_variants_are_as_many_as_asked_for_beside_the_puzzle_itself():
    assert len(draw_variants([puzzle()], 200, seed=0).transforms) == 201


def test_the_first_variant_is_the_puzzle_itself():
    variants = draw_variants([puzzle(0, "a"), puzzle(1, "b")], 30, seed=0)
    for first in variants.firsts[:-1]:
        assert variants.transforms[first] == 0
        np.testing.assert_array_equal(variants.colours[first], np.arange(10))


def test_black_stays_black():
    variants = draw_variants([puzzle()], 200, seed=0)
    assert (variants.colours[:, 0] == 0).all()
    np.testing.assert_array_equal(np.sort(variants.colours, 1), np.tile(np.arange(10), (201, 1)))


def test_variants_of_a_puzzle_do_not_depend_on_the_other_puzzles():
    alone = draw_variants([puzzle(1, "b")], 50, seed=0)
    second = draw_variants([puzzle(0, "a"), puzzle(1, "b")], 50, seed=0).firsts[1]
    together = draw_variants([puzzle(0, "a"), puzzle(1, "b")], 50, seed=0)
    np.testing.assert_array_equal(alone.colours, together.colours[second:])
    np.testing.assert_array_equal(alone.transforms, together.transforms[second:])


def test_another_seed_draws_other_variants():
    first, second = (draw_variants([puzzle()], 50, seed).colours for seed in (0, 1))
    assert (first != second).any()


@given(grids, st.integers(0, 30))
def test_a_variant_of_a_grid_is_undone(grid, identifier):
    variants = draw_variants([puzzle()], 30, seed=0)
    (varied,) = variant_of([grid], variants.transforms[identifier], variants.colours[identifier])
    np.testing.assert_array_equal(variants.undo(identifier, varied), grid)


# Rendering


def rendered(pair, transform_index=0, colours=range(10), place=(0.0, 0.0)):
    question, answer = (encode(grid, SIZE) for grid in pair)
    out = jax.jit(render)(
        jnp.asarray(question, jnp.int32),
        jnp.where(answer == 0, IGNORE_LABEL, answer.astype(np.int32)),
        jnp.uint8(transform_index),
        jnp.array(colours, jnp.uint8),
        jnp.array(place),
    )
    return [np.asarray(tokens) for tokens in out]


@given(grids, grids, st.integers(0, 7), st.permutations(range(1, 10)))
def test_the_device_makes_the_variant_that_numpy_makes(question, answer, index, renamed):
    colours = np.array([0, *renamed], np.uint8)
    found = rendered((question, answer), index, colours)
    expected = [encode(g, SIZE) for g in variant_of((question, answer), index, colours)]
    np.testing.assert_array_equal(found[0], expected[0])
    labels = np.where(expected[1] == 0, IGNORE_LABEL, expected[1].astype(int))
    np.testing.assert_array_equal(found[1], labels)


@given(grids, grids, st.tuples(*[st.sampled_from([0.0, 0.3, 0.5, 0.99])] * 2))
def test_a_moved_pair_lies_on_the_canvas_whole_and_moves_together(question, answer, place):
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


# The data set


def test_demonstrations_of_the_test_set_are_trained_on_and_its_tests_are_not(folder):
    dataset = data.load(config(folder, num_validation=1))
    # 3 demonstrations of 7 puzzles, and the tests of the 3 that are neither asked nor held out.
    sizes = [len(split["inputs"]) for split in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [24, 1, 3]


def test_no_pair_is_in_two_splits(folder):
    dataset = data.load(config(folder, num_validation=2))
    splits = dataset.train, dataset.validation, dataset.test
    pairs = [
        {a.tobytes() + b.tobytes() for a, b in zip(s["inputs"], s["labels"], strict=True)}
        for s in splits
    ]
    assert len(set.union(*pairs)) == sum(map(len, pairs))


def test_a_puzzle_of_the_test_set_is_left_out_of_another_set(folder):
    write_set(folder, "both", [puzzle(9, "eval0"), puzzle(5, "other")])
    dataset = data.load(config(folder, sets=("both", "evaluation")))
    # Demonstrations of four puzzles and the test of one: not that of eval0.
    assert len(dataset.train["inputs"]) == 4 * 3 + 1


def test_puzzles_too_large_for_the_canvas_are_left_out(folder):
    large = np.zeros((7, 7), np.uint8)
    write_set(folder, "training", [puzzle(0, "fits"), ArcPuzzle("l", [(large, large)] * 3, [])])
    challenges = json.loads((folder / "arc-agi_training_challenges.json").read_text())
    challenges["l"]["test"] = [{"input": [[1]]}]
    write_json(folder, "training", challenges, {"fits": [[[1]]], "l": [[[1]]]})
    assert data.load(config(folder)).variants.names == ("fits", "eval0", "eval1", "eval2")


def test_num_puzzles_bounds_each_set(folder):
    names = data.load(config(folder, num_puzzles=2)).variants.names
    assert collections.Counter(name[:4] for name in names) == {"trai": 2, "eval": 2}


def test_the_difficulty_of_a_pair_is_the_size_of_its_larger_grid(folder):
    pairs = [(np.zeros((2, 3), np.uint8), np.zeros((1, 1), np.uint8))]
    write_set(folder, "evaluation", [ArcPuzzle("e", pairs, pairs)])
    assert data.load(config(folder, sets=("evaluation",))).test["difficulty"].tolist() == [6]


def test_a_data_set_is_the_same_when_it_is_loaded_again(folder):
    first, second = (data.load(config(folder)) for _ in range(2))
    np.testing.assert_array_equal(first.variants.colours, second.variants.colours)
    np.testing.assert_array_equal(
        first.train["puzzle_identifiers"], second.train["puzzle_identifiers"]
    )


def test_the_number_of_identifiers_divides_over_many_devices(folder):
    assert data.load(config(folder)).num_puzzle_identifiers % 1024 == 0


def drawn(folder, num_batches=40):
    """The training set in batches that hold it whole, and the identifiers of each."""
    dataset = data.load(config(folder))
    augment = jax.jit(lambda augment, key, batch: augment(key, batch))
    batches = [
        jax.device_get(augment(dataset.augment, key, dataset.train))
        for key in jax.random.split(jax.random.key(0), num_batches)
    ]
    return dataset, batches


def test_augmented_examples_are_their_variants(folder):
    dataset, batches = drawn(folder, 1)
    for row, identifier in enumerate(batches[0]["puzzle_identifiers"]):
        canvas = batches[0]["inputs"][row].reshape(SIZE, SIZE)
        rows, columns = np.nonzero(canvas >= 2)
        grid = canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] - 2
        original = dataset.variants.undo(identifier, grid.astype(np.uint8))
        np.testing.assert_array_equal(original, decode(dataset.train["inputs"][row]))


def test_pairs_of_a_puzzle_in_one_batch_are_of_the_same_variant(folder):
    dataset, batches = drawn(folder, 3)
    for batch in batches:
        found = set(zip(dataset.train["groups"], batch["puzzle_identifiers"], strict=True))
        assert len(found) == len(dataset.variants.names)


def test_every_variant_is_drawn(folder):
    dataset, batches = drawn(folder, 200)
    met = {identifier for batch in batches for identifier in batch["puzzle_identifiers"].tolist()}
    assert met == set(range(len(dataset.variants.transforms)))


def test_a_quarter_of_the_pairs_stays_in_the_corner(folder):
    _, batches = drawn(folder)
    corners = [batch["inputs"][:, 0] >= 2 for batch in batches]
    # Beside those kept, a pair lands there by chance: more often the larger it is.
    assert 0.25 < np.mean(corners) < 0.6


def test_without_augmentation_examples_stay_as_they_are(folder):
    dataset = data.load(config(folder, augment=False))
    same = dataset.augment(jax.random.key(0), dataset.train)
    np.testing.assert_array_equal(same["inputs"], dataset.train["inputs"])


# Bad input

GOOD = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}


def with_grid(grid):
    return GOOD | {"train": [{"input": grid, "output": [[2]]}]}


BAD = {
    "a colour that there is not": (with_grid([[1, 10]]), r"colour 10 in row 1, column 2.*0 to 9"),
    "a colour that is no number": (with_grid([["red"]]), r"colour 'red' in row 1, column 1"),
    "a ragged grid": (with_grid([[1, 2], [3]]), "ragged: rows of 1 and of 2 cells"),
    "a grid too wide": (with_grid([[0] * 31]), "is 1x31; expected 1x1 to 30x30"),
    "an empty row": (with_grid([[]]), "is 1x0; expected 1x1 to 30x30"),
    "no list": (with_grid(7), "is no list of rows"),
    "no demonstrations": (GOOD | {"train": []}, "no demonstration or no test"),
    "no test": ({"train": GOOD["train"]}, "'test'"),
    "too many tests": (GOOD | {"test": [{"input": [[3]]}] * 2}, "1 solutions in .*expected 2"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_bad_puzzle_is_an_error_that_names_file_puzzle_and_reason(tmp_path, wrong):
    challenge, reason = BAD[wrong]
    write_json(tmp_path, "x", {"good": GOOD, "bad": challenge}, {"good": [[[4]]], "bad": [[[4]]]})
    with pytest.raises(ValueError, match=f"arc-agi_x_challenges.json, puzzle bad: .*{reason}"):
        read_set(tmp_path, "x")


def test_a_puzzle_without_a_solution_is_an_error_that_names_it(tmp_path):
    write_json(tmp_path, "x", {"good": GOOD, "bad": GOOD}, {"good": [[[4]]]})
    with pytest.raises(ValueError, match=r"puzzle bad: no solution in .*solutions.json"):
        read_set(tmp_path, "x")


def test_a_bad_solution_is_an_error_that_says_where(tmp_path):
    write_json(tmp_path, "x", {"bad": GOOD}, {"bad": [[[4, -1]]]})
    with pytest.raises(ValueError, match="the output of test 1 has colour -1"):
        read_set(tmp_path, "x")


def test_skip_bad_leaves_bad_puzzles_out_and_lists_them(tmp_path, caplog):
    write_json(tmp_path, "x", {"good": GOOD, "bad": with_grid([[10]])}, {"good": [[[4]]]})
    with caplog.at_level(logging.WARNING):
        assert [p.name for p in read_set(tmp_path, "x", skip_bad=True)] == ["good"]
    assert "1 bad puzzles are left out" in caplog.text
    assert "puzzle bad: no solution" in caplog.text


def test_a_set_that_is_not_there_is_an_error_that_names_those_that_are(folder):
    with pytest.raises(
        FileNotFoundError, match=r"arc-agi_tr_challenges.json; sets in .*: evaluation, train"
    ):
        data.load(config(folder, sets=("tr", "evaluation")))


def test_a_file_that_is_no_json_is_an_error(folder):
    (folder / "arc-agi_training_solutions.json").write_text("{")
    with pytest.raises(ValueError, match=r"training_solutions.json: .*expected JSON"):
        data.load(config(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ""}, "data.source is not set"),
        ({"test_set": "test"}, "test_set='test' is not one of sets"),
        ({"size": 31}, "size=31; expected 1 to 30"),
        ({"size": 1}, "no puzzle of 'evaluation' .* fits size=1"),
        ({"num_validation": 9}, "num_validation=9, but .* only 4 puzzles"),
        ({"num_variants": -1}, "num_variants=-1; expected at least 0"),
    ],
)
def test_impossible_settings_are_errors(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(config(folder, **changes))


def test_arc_has_no_csv_files():
    with pytest.raises(ValueError, match="'arc' has no CSV files"):
        data.read_examples("puzzles.csv", "arc")


# The published puzzles

published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the ARC files are not there")


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
def test_the_published_sets_are_read_whole(name, num_puzzles, num_demonstrations, num_tests):
    puzzles = read_set(PUBLISHED, name)
    assert len(puzzles) == num_puzzles
    assert sum(len(p.demonstrations) for p in puzzles) == num_demonstrations
    assert sum(len(p.tests) for p in puzzles) == num_tests


@published
def test_no_variant_of_a_published_puzzle_comes_twice():
    puzzles = read_set(PUBLISHED, "evaluation")[:20]
    for p in puzzles:
        found = contents(p, draw_variants([p], 100, seed=0))
        assert len(set(found)) == len(found)


def test_symmetries_are_numbered_as_published():
    grid = np.arange(6).reshape(2, 3)
    for index in range(8):
        np.testing.assert_array_equal(transform(grid, index), published_transform(grid, index))
