"""Candidate elimination as a form of supervision: slots, losses, metrics, resume, sharding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import experiment
from cgar_jax.config import default_config, set_elimination, set_method
from cgar_jax.data.families.sudoku.generation import generate
from cgar_jax.data.families.sudoku.grid import Grid
from cgar_jax.data.rules import columns_of
from cgar_jax.losses import IGNORE_LABEL
from cgar_jax.recursion.elimination import has_conflict
from cgar_jax.training.state import variables

TASK = experiment.Task(vocab_size=6, sequence_length=16, num_puzzle_identifiers=1)
BATCH, STEPS = 16, 6


def config_with(method="pdc", **changes):
    config = default_config()
    config.data.size = 4
    set_elimination(config)
    config.batch_size = BATCH
    config.model.hidden_size = config.model.inner_size_multiple = 8
    config.curriculum.stages = ((0, 1), (0, 2))
    config.curriculum.boundaries = (0.5,)
    config.training.steps = STEPS
    config.optimizer.warmup_steps = 1
    config.mesh = {"data": 1, "fsdp": 1}
    config.update_from_flattened_dict(changes)
    set_method(config, method)
    return config


@functools.lru_cache
def puzzles():
    columns = columns_of(generate(Grid.of_size(4), 32, seed=0, num_clues=6, num_workers=1))
    columns["puzzle_identifiers"] = np.zeros(32, np.int32)
    del columns["source"]
    return columns


def run(built, state, num_steps):
    data = built.on_device(puzzles())
    program = jax.jit(built.train_step.run, static_argnums=0)
    for _ in range(num_steps):
        depth = built.curriculum(int(state.step) / STEPS)
        state, metrics = program(depth, state, data, np.int32(1))
    return state, metrics


@pytest.fixture(scope="module")
def built():
    return experiment.build(config_with(), TASK)


@pytest.fixture(scope="module")
def trained(built):
    return run(built, built.initial_state(), STEPS)


@pytest.fixture(scope="module")
def first_metrics(built):
    """The metrics of the first step."""
    return run(built, built.initial_state(), 1)[1]


def test_its_metrics_are_finite(trained):
    for name, value in trained[1].items():
        assert np.isfinite(value), name
    assert {"removed_fraction", "unsound_fraction", "digit_loss"} <= set(trained[1])


@pytest.mark.parametrize(
    "changes",
    [{"training.microbatches": 2}, {"mesh.data": 8}, {"mesh.data": 2, "mesh.fsdp": 4}],
    ids=["microbatches", "eight devices", "split parameters"],
)
def test_the_layout_changes_the_loss_by_rounding_only(first_metrics, changes):
    other = experiment.build(config_with(**changes), TASK)
    _, metrics = run(other, other.initial_state(), 1)
    for name, rtol in (("loss", 1e-5), ("gradient_norm", 1e-4)):
        np.testing.assert_allclose(metrics[name], first_metrics[name], rtol=rtol)


@pytest.mark.parametrize("method", ["plateau", "nested"])
def test_other_curricula_and_weightings_apply(method):
    other = experiment.build(config_with(method), TASK)
    _, metrics = run(other, other.initial_state(), 1)
    assert np.isfinite(metrics["loss"])


def test_hierarchical_weighting_counts_loops_as_supervision_steps():
    stages = {"curriculum.stages": ((0, 1), (0, 3))}
    plain = experiment.build(config_with("trm", **stages), TASK)
    weighted = experiment.build(config_with("hsw", **stages), TASK)
    _, even = run(plain, plain.initial_state(), 1)
    _, decaying = run(weighted, weighted.initial_state(), 1)
    assert even["digit_weight_max"] == even["digit_weight_min"] == 1
    ratio = decaying["digit_weight_min"] / decaying["digit_weight_max"]
    np.testing.assert_allclose(ratio, 0.7**2, rtol=1e-5)


def fresh_slots(built, labels=None):
    examples = {name: jnp.asarray(column[:BATCH]) for name, column in puzzles().items()}
    examples = {name: examples[name] for name in ("inputs", "labels", "puzzle_identifiers")}
    examples = jax.tree.map(lambda column: column.astype(jnp.int32), examples)
    if labels is not None:
        examples["labels"] = labels
    supervision = built.train_step.supervision
    slots = supervision.initial_slots(examples)
    return supervision, supervision.refill(slots, examples, None, jax.random.key(0))


def advanced(built, slots):
    """Returns slots after one step of a model that knows nothing."""
    state, supervision = built.initial_state(), built.train_step.supervision
    model_variables = variables(state.params, state.constants)
    output = supervision.forward(model_variables, None, slots, built.stages[0].depth)
    return supervision.advance(slots, output, jax.random.key(1))


def thinking_rows(slots, conflict):
    """Returns the thinking rows whose candidates exclude the solution, or the others."""
    excluded = has_conflict(slots.candidates, slots.examples["labels"] - 2)
    return np.asarray(slots.thinks & (excluded == conflict))


@pytest.mark.parametrize(("helped", "expected"), [(0.0, 0), (1.0, 1)])
def test_an_unsolved_thinking_example_is_told_one_more_symbol(helped, expected):
    unaided = experiment.build(config_with(**{"supervision.helped": helped}), TASK)
    _, slots = fresh_slots(unaided)
    after = advanced(unaided, slots)
    rows = thinking_rows(slots, conflict=False) & ~np.asarray(after.halted)
    assert rows.any()
    told = np.asarray(after.fixed & ~slots.fixed)
    assert (told[rows].sum(-1) == expected).all()
    symbols = np.asarray(slots.examples["labels"]) - 2
    np.testing.assert_array_equal(np.asarray(after.candidates).argmax(-1)[told], symbols[told])


def test_a_misled_example_is_told_nothing(built):
    _, slots = fresh_slots(built)
    rows = thinking_rows(slots, conflict=True)
    assert rows.any()
    after = advanced(built, slots)
    np.testing.assert_array_equal(after.candidates[rows], slots.candidates[rows])
    np.testing.assert_array_equal(after.fixed[rows], slots.fixed[rows])


def test_thinking_slots_keep_their_candidates_and_carry_their_states():
    built = experiment.build(config_with(**{"supervision.helped": 0.0}), TASK)
    _, slots = fresh_slots(built)
    assert slots.thinks.any()
    after = advanced(built, slots)
    kept = (after.candidates == slots.candidates).all((1, 2))
    assert kept[slots.thinks].all()
    assert not kept[~slots.thinks].all()
    assert np.any(np.asarray(after.states[slots.thinks]) != 0)
    assert np.all(np.asarray(after.states[~slots.thinks]) == 0)


def test_a_solution_that_is_excluded_makes_no_candidate_right(built):
    supervision, slots = fresh_slots(built)
    conflict = np.asarray(has_conflict(slots.candidates, slots.examples["labels"] - 2))
    assert 0 < conflict.sum() < len(conflict)
    state = built.initial_state()
    model_variables = variables(state.params, state.constants)

    def loss(bias):
        model_variables["params"]["symbol_bias"] = bias
        output = supervision.forward(model_variables, None, slots, built.stages[0].depth)
        return output.losses["keep"]

    # A lower bias keeps less: that is right for every cell once the solution is excluded.
    slope = np.asarray(jax.jacobian(loss)(jnp.zeros(()))).mean(-1)
    np.testing.assert_allclose(slope[conflict], 0.25, rtol=1e-5)
    assert (slope[~conflict] < 0.2).all()


def test_the_question_stays_in_every_fresh_slot(built):
    _, slots = fresh_slots(built)
    inputs = np.asarray(slots.examples["inputs"])
    given = inputs >= 2
    assert np.asarray(slots.fixed)[given].all()
    np.testing.assert_array_equal(np.asarray(slots.candidates).argmax(-1)[given], inputs[given] - 2)


def test_examples_without_labels_have_no_loss_and_leave_at_once(built):
    none = jnp.full((BATCH, 16), IGNORE_LABEL)
    supervision, slots = fresh_slots(built, none)
    state = built.initial_state()
    model_variables = variables(state.params, state.constants)
    output = supervision.forward(model_variables, None, slots, built.stages[0].depth)
    assert not np.any(output.losses["digit"])
    assert not np.any(output.losses["keep"])
    assert supervision.advance(slots, output, jax.random.key(1)).halted.all()


def test_deep_supervision_of_a_candidate_model_is_refused():
    config = config_with()
    config.supervision = default_config().supervision
    config.loss = default_config().loss
    with pytest.raises(ValueError, match=r"supervision\.name = 'candidate_elimination'"):
        experiment.build(config, TASK)


def test_depths_with_latent_recursions_are_refused():
    config = config_with()
    config.curriculum = {"name": "fixed_depth_curriculum", "depth": (2, 1)}
    with pytest.raises(ValueError, match=r"needs depths \(0, loops\)"):
        experiment.build(config, TASK)


def test_puzzles_without_constraint_groups_are_refused():
    config = config_with()
    config.data = default_config().data
    config.data.name = "maze"
    with pytest.raises(ValueError, match="groups of cells that must all differ"):
        experiment.build(config, TASK)


def test_an_unknown_setting_is_refused():
    config = config_with()
    config.supervision.thinkng = 0.5
    with pytest.raises(ValueError, match="did you mean 'thinking'"):
        experiment.build(config, TASK)
