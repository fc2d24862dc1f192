"""Votes of the variants of ARC puzzles, on cases that are counted by hand."""

import itertools
import json

import numpy as np
import pytest

from cgar_jax.data.families.arc import ArcPuzzle, Variants, decode, draw_variants, encode
from cgar_jax.data.symmetries import transform
from cgar_jax.evaluation import StepPredictions, voting

A, B, C = (np.full((2, 3), colour, np.uint8) for colour in (1, 2, 3))
SIZE = 5


def rank(answers):
    tally = voting.Tally()
    for grid, probability in answers:
        tally.add(grid, probability)
    return tally.rank()


def grids(ranking):
    return [(candidate.grid.tolist(), candidate.count) for candidate in ranking]


def test_the_answer_given_most_often_comes_first():
    ranking = rank([(A, 0.9), (B, 0.1), (B, 0.1)])
    assert grids(ranking) == [(B.tolist(), 2), (A.tolist(), 1)]


def test_of_answers_given_equally_often_the_one_believed_in_most_comes_first():
    ranking = rank([(A, 0.3), (B, 0.9), (A, 0.5), (B, 0.1), (C, 0.9)])
    assert grids(ranking) == [(B.tolist(), 2), (A.tolist(), 2), (C.tolist(), 1)]
    assert [candidate.probability for candidate in ranking] == pytest.approx([0.5, 0.4, 0.9])


def test_ties_are_broken_alike_whatever_the_order_of_the_answers():
    answers = [(A, 0.5), (B, 0.5), (C, 0.5), (A.T.copy(), 0.5), (A[:1], 0.5)]
    orders = {str(grids(rank(order))) for order in itertools.permutations(answers)}
    assert orders == {str([(g.tolist(), 1) for g in (A[:1], A, B, C, A.T)])}


def test_the_mean_probability_does_not_depend_on_the_order_of_the_answers():
    answers = [(A, probability) for probability in (0.1, 0.7, 1e-8, 0.3)]
    means = {rank(order)[0].probability for order in itertools.permutations(answers)}
    assert len(means) == 1


def test_grids_of_the_same_cells_and_another_shape_are_different_answers():
    assert len(rank([(A, 0.5), (A.reshape(3, 2), 0.5)])) == 2


def test_answers_without_a_cell_are_no_votes():
    assert rank([(np.zeros((0, 0), np.uint8), 0.9)]) == []


def rankings_and_puzzles():
    """Two puzzles; of the first one of two questions is answered at once, the other third."""
    first = rank([(A, 0.9), (A, 0.9), (B, 0.5)])
    third = rank([(B, 0.9), (C, 0.8), (A, 0.5)])
    never = rank([(B, 0.9)])
    return [first, third, never], [A, A, A], ["p", "p", "q"]


@pytest.mark.parametrize(
    ("number", "share"),
    [(1, (1 / 2 + 0) / 2), (2, (1 / 2 + 0) / 2), (5, (2 / 2 + 0) / 2), (1000, (2 / 2 + 0) / 2)],
)
def test_pass_at_k_is_the_mean_over_puzzles_of_the_share_of_their_questions(number, share):
    assert voting.pass_at(*rankings_and_puzzles())[str(number)] == share


def test_pass_is_told_at_the_published_numbers():
    assert list(voting.pass_at(*rankings_and_puzzles())) == ["1", "2", "5", "10", "100", "1000"]


def test_a_submission_has_two_attempts_for_each_question_in_the_layout_of_the_competition():
    rankings, _, puzzles = rankings_and_puzzles()
    found = json.loads(json.dumps(voting.submission([*rankings, []], [*puzzles, "r"])))
    a, b, c = (grid.tolist() for grid in (A, B, C))
    assert found == {
        "p": [{"attempt_1": a, "attempt_2": b}, {"attempt_1": b, "attempt_2": c}],
        "q": [{"attempt_1": b, "attempt_2": b}],
        "r": [{"attempt_1": [[0]], "attempt_2": [[0]]}],
    }


# A whole vote


def question(grid):
    """A test of a puzzle: its rule is to change nothing."""
    return grid, grid


def puzzles():
    rng = np.random.default_rng(0)
    random_grids = [rng.integers(0, 10, (3, 4)).astype(np.uint8) for _ in range(3)]
    return [
        ArcPuzzle("p", [], [question(random_grids[0]), question(random_grids[1])]),
        ArcPuzzle("q", [], [question(random_grids[2])]),
    ]


def examples(variants: Variants):
    rows = [(p, grid) for p, puzzle in enumerate(puzzles()) for grid, _ in puzzle.tests]
    tokens = np.array([encode(grid, SIZE) for _, grid in rows]).astype(np.int8)
    return {
        "inputs": tokens,
        "labels": np.where(tokens == 0, -100, tokens),
        "puzzle_identifiers": variants.firsts[[p for p, _ in rows]],
    }


class Model:
    """Answers what `answer(identifier, tokens)` says, in batches of seven; notes what was asked."""

    def __init__(self, answer=lambda identifier, tokens: (tokens, 0.5)):
        self.answer, self.asked = answer, []

    def predict(self, batch):
        for start in range(0, len(batch["inputs"]), 7):
            identifiers = batch["puzzle_identifiers"][start : start + 7]
            inputs = batch["inputs"][start : start + 7]
            self.asked += zip(identifiers.tolist(), inputs, strict=True)
            answers, probabilities = zip(*map(self.answer, identifiers, inputs), strict=True)
            num = len(identifiers)
            nothing = np.zeros((1, num), bool)
            yield StepPredictions(
                np.array(answers), np.array(probabilities), nothing, nothing, nothing, nothing[0]
            )


def vote(answer=None, num_variants=0):
    variants = draw_variants(puzzles(), 20, seed=0)
    model = Model(answer) if answer else Model()
    scores, submission = voting.score(model.predict, variants, examples(variants), num_variants)
    return model, variants, scores, submission


def test_each_question_is_asked_in_every_variant_of_its_puzzle():
    model, variants, *_ = vote()
    asked = [(identifier, tokens.tobytes()) for identifier, tokens in model.asked]
    assert len(set(asked)) == len(asked) == 3 * 21
    for identifier, tokens in model.asked:
        original = variants.undo(identifier, decode(tokens))
        assert any(
            np.array_equal(original, grid) for puzzle in puzzles() for grid, _ in puzzle.tests
        )


def test_a_model_that_is_right_in_every_variant_passes_at_one():
    _, _, scores, submission = vote()
    assert scores == {
        "pass_at": dict.fromkeys(map(str, voting.PASS_AT), 1.0),
        "num_puzzles": 2,
        "num_votes": 63,
    }
    for puzzle in puzzles():
        right = [{f"attempt_{k}": grid.tolist() for k in (1, 2)} for grid, _ in puzzle.tests]
        assert submission[puzzle.name] == right


def test_a_right_answer_outvoted_by_one_variant_passes_at_two():
    variants = draw_variants(puzzles(), 20, seed=0)

    def answer(identifier, tokens):
        # Ten variants of each puzzle are right; eleven say what is A when it is mapped back.
        if identifier % 21 < 10:
            return tokens, 0.9
        turned = transform(A, variants.transforms[identifier])
        return encode(variants.colors[identifier][turned], SIZE), 0.1

    _, _, scores, _ = vote(answer)
    assert scores["pass_at"]["1"] == 0
    assert scores["pass_at"]["2"] == 1


def test_num_variants_bounds_how_often_a_question_is_asked():
    model, variants, *_ = vote(num_variants=4)
    assert sorted({identifier for identifier, _ in model.asked}) == [
        first + k for first in variants.firsts[:-1].tolist() for k in range(4)
    ]
