"""Verified search with an untrained network: right answers or none, within the budget."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.data import rules_of
from cgar_jax.data.families.sudoku.generation import generate
from cgar_jax.data.families.sudoku.grid import Grid
from cgar_jax.data.rules import columns_of
from cgar_jax.evaluation import CandidateEvaluator, Search, SearchEvent, SearchOptions
from cgar_jax.evaluation.candidate_evaluator import control_of
from cgar_jax.mesh import make_mesh
from cgar_jax.models import ModelParams, build
from cgar_jax.recursion import CandidateReasoner, Depth, SearchRule

RULES = rules_of("sudoku")


@functools.lru_cache
def setting(devices=1):
    """Returns a reasoner that eliminates nothing, and its parameters: all logits are zero."""
    task = {"vocab_size": 6, "sequence_length": 16, "num_puzzle_identifiers": 1}
    settings = {"name": "relational", "hidden_size": 4, "inner_size_multiple": 4, "num_layers": 1}
    model = build(settings, RULES.relations(16), 4, **task)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 16), int), jnp.zeros(1, int))
    mesh = make_mesh({"data": devices, "fsdp": 1}, 8, 1)
    reasoner = CandidateReasoner(model, Depth(0, 1), mesh, SearchRule(singles=False))
    return reasoner, ModelParams(variables, jnp.zeros((1, 1)))


@functools.lru_cache
def puzzles():
    return columns_of(generate(Grid.of_size(4), 12, seed=0, num_clues=13, num_workers=1))


def search(questions, devices=1, **options):
    reasoner, params = setting(devices)
    options = {"budget": 400, "batch_size": 8} | options
    return Search(reasoner, params, RULES.accepts, SearchOptions(**options))(questions)


@pytest.fixture(scope="module")
def proofs():
    return search(puzzles()["inputs"])


def test_every_answer_obeys_the_rules(proofs):
    solved = [proof.verified for proof in proofs]
    assert any(solved)
    answers = np.array([proof.answer for proof in proofs if proof.verified])
    assert RULES.accepts(puzzles()["inputs"][solved], answers).all()


def test_the_proof_of_a_puzzle_does_not_depend_on_the_batch(proofs):
    for batch_size in (2, 64):
        others = search(puzzles()["inputs"], batch_size=batch_size)
        for ours, other in zip(proofs, others, strict=True):
            assert (ours.passes, ours.dead_ends) == (other.passes, other.dead_ends)


def test_the_proof_of_a_puzzle_does_not_depend_on_its_place(proofs):
    others = search(puzzles()["inputs"][::-1])[::-1]
    assert [proof.passes for proof in proofs] == [proof.passes for proof in others]


def test_eight_devices_find_the_same_proofs(proofs):
    others = search(puzzles()["inputs"], devices=8)
    assert [proof.passes for proof in proofs] == [proof.passes for proof in others]


def test_several_chains_count_all_their_passes():
    found = search(puzzles()["inputs"], num_chains=3, budget=30)
    assert all(proof.passes % 3 == 0 and proof.passes <= 30 for proof in found)


def without_solution():
    """A question with one wrong clue, tokens `[1, 16]`."""
    question = puzzles()["inputs"][:1].copy()
    blank = np.flatnonzero(question[0] == 1)[0]
    question[0, blank] = next(t for t in range(2, 6) if t != puzzles()["labels"][0][blank])
    return question


def test_a_puzzle_without_a_solution_is_left_after_the_budget():
    (proof,) = search(without_solution(), budget=50)
    assert proof.answer is None
    assert proof.passes == 50


def test_a_puzzle_with_several_solutions_gets_a_valid_one():
    question = RULES.parse_questions([".2.4.4.221434321"])
    assert RULES.num_solutions(question[0]) == 2
    (proof,) = search(question, budget=3_000)
    assert RULES.accepts(question, proof.answer[None]).all()


def test_no_time_left_ends_the_search():
    found = search(np.full((3, 16), 1, np.uint8), seconds=1e-9, batch_size=4)
    assert all(proof.passes == 1 for proof in found)


def test_no_puzzles_give_no_proofs():
    assert search(np.zeros((0, 16), np.uint8)) == []


def test_a_network_that_is_always_wrong_cannot_prevent_a_proof():
    reasoner, params = setting()
    reasoner = dataclasses.replace(reasoner, rule=SearchRule(singles=False))
    weights = params.variables["params"] | {
        "symbol_bias": jnp.asarray(-9.0),
        "conflict_bias": jnp.asarray(9.0),
    }
    params = params._replace(variables=params.variables | {"params": weights})
    found = Search(reasoner, params, RULES.accepts, SearchOptions(budget=2_000))
    assert all(proof.verified for proof in found(puzzles()["inputs"]))


def test_singles_after_each_pass_shorten_the_search(proofs):
    reasoner, params = setting()
    reasoner = dataclasses.replace(reasoner, rule=SearchRule(singles=True))
    found = Search(reasoner, params, RULES.accepts, SearchOptions())(puzzles()["inputs"])
    assert all(proof.verified for proof in found)
    assert sum(proof.passes for proof in found) < sum(proof.passes for proof in proofs)


def test_singles_in_place_of_the_network_solve_every_puzzle():
    reasoner, params = control_of(setting()[0])
    found = Search(reasoner, params, RULES.accepts, SearchOptions())(puzzles()["inputs"])
    assert all(proof.verified for proof in found)


@pytest.mark.parametrize("option", ["budget", "num_chains", "batch_size", "seconds"])
def test_an_option_out_of_range_is_an_error(option):
    with pytest.raises(ValueError, match=option):
        SearchOptions(**{option: 0})


def test_the_scores_of_an_evaluator_describe_the_search(proofs):
    reasoner, params = setting()
    options = SearchOptions(budget=400, batch_size=8)
    scores = CandidateEvaluator(reasoner, options, 0)(params, puzzles(), RULES.accepts)
    assert scores["verified_fraction"] == np.mean([proof.verified for proof in proofs])
    assert scores["passes_median"] == np.median([proof.passes for proof in proofs])
    assert scores["wrong_fraction"] == 0
    assert scores["verified_fraction_control"] == 1
    assert 1 <= scores["passes_median_control"] < scores["passes_median"]
    assert scores["removed_fraction"] == scores["unsound_fraction"] == 0
    assert scores["num_examples"] == scores["searched_puzzles"] == 12
    assert sum(group["num_examples"] for group in scores["search_by_difficulty"]) == 12
    passes = [
        group["passes_mean"] * group["num_examples"] for group in scores["search_by_difficulty"]
    ]
    assert sum(passes) == pytest.approx(12 * scores["passes_mean"])


def test_an_evaluator_can_search_for_fewer_puzzles():
    reasoner, params = setting()
    done = []
    evaluator = CandidateEvaluator(reasoner, SearchOptions(budget=5, batch_size=8), 4)
    scores = evaluator(params, puzzles(), RULES.accepts, done.append)
    assert scores["searched_puzzles"] == 4
    assert sum(done) == 12


@pytest.fixture(scope="module")
def trajectories(proofs):
    """The recorded searches of the first puzzles, next to their proofs."""
    reasoner, params = setting()
    search = Search(reasoner, params, RULES.accepts, SearchOptions(budget=400))
    questions = puzzles()["inputs"][:4]
    return [(proof, search.trajectory(row)) for row, proof in zip(questions, proofs, strict=False)]


def test_a_recorded_search_takes_as_many_passes_as_the_search_itself(trajectories):
    # Only the first puzzle has the same guesses in both: they depend on the index of the puzzle.
    proof, found = trajectories[0]
    assert len(found.events) == proof.passes
    assert found.count(SearchEvent.DEAD_END) + found.count(SearchEvent.RESTART) == proof.dead_ends


def test_a_recorded_search_ends_with_the_solution(trajectories):
    for proof, found in trajectories:
        assert found.events[-1] is SearchEvent.SOLVED
        np.testing.assert_array_equal(found.answer, proof.answer)
        np.testing.assert_array_equal(found.after[-1].argmax(1) + 2, proof.answer)


def test_a_guessed_cell_has_one_candidate(trajectories):
    for _, found in trajectories:
        guesses = [event is SearchEvent.GUESS for event in found.events]
        guessed = found.guessed[guesses]
        assert guessed.any(1).all()
        assert (found.after[guesses].sum(-1)[guessed] == 1).all()


def test_every_guess_is_recorded_until_it_is_taken_back(trajectories):
    for _, found in trajectories:
        cells = [0, *found.guessed.sum(1)]
        for before, after, previous, event in zip(
            cells, cells[1:], [None, *found.events], found.events, strict=False
        ):
            kept = 0 if previous is SearchEvent.RESTART else before
            kept -= previous is SearchEvent.DEAD_END
            assert after == kept + (event is SearchEvent.GUESS)


def test_a_search_without_an_answer_is_recorded_to_the_end_of_its_budget():
    reasoner, params = setting()
    search = Search(reasoner, params, RULES.accepts, SearchOptions(budget=7))
    found = search.trajectory(without_solution()[0])
    assert found.answer is None
    assert found.after.shape == (7, 16, 4)
