"""Every registered model fulfills the `Model` contract; a new model is one more case in `CASES`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.data import rules_of
from cgar_jax.models import CANDIDATE_MODELS, MODELS, Model, build
from cgar_jax.recursion import Depth, Question, supervision_step
from tests.models import contract

TASK = {"vocab_size": 6, "sequence_length": 16, "num_puzzle_identifiers": 3}
RELATIONS = rules_of("sudoku").relations(16)
SMALL_TRM = {"name": "trm", "hidden_size": 32, "num_heads": 2, "inner_size_multiple": 32}
SE_RRM = {"name": "se_rrm", "hidden_size": 16, "num_heads": 2, "inner_size_multiple": 16}
CASES = {
    "trm, mlp": SMALL_TRM | {"puzzle_embedding_tokens": 2},
    "trm, attention": SMALL_TRM | {"mixing": "attention", "positions": "rotary"},
    "trm, learned positions": SMALL_TRM | {"mixing": "attention", "positions": "learned"},
    "urm": SMALL_TRM | {"mixing": "attention", "num_states": 1, "mlp": "convolutional"},
    "eqr": SMALL_TRM | {"puzzle_embedding_tokens": 0, "start": "random", "mlp": "normalized"},
    "hrm": SMALL_TRM | {"mixing": "attention", "num_networks": 2},
    "se_rrm": SE_RRM,
    "se_rrm, not equivariant": SE_RRM | {"equivariant": False, "extra_tokens": 0},
    "sic": SMALL_TRM
    | {"num_hypotheses": 3, "mlp": "normalized", "prefix_token": True, "head_bias": True},
    "trm, relation bias": SMALL_TRM
    | {"mixing": "attention", "positions": "rotary_2d", "relation_bias": True},
    "rsm": SMALL_TRM | {"tied_head": True, "mixing_norm": "features"},
}
BATCH = 4


@pytest.fixture(scope="module", params=CASES)
def settings(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def model(settings):
    return build(settings, RELATIONS, **TASK)


@pytest.fixture(scope="module")
def variables(model):
    return jax.jit(model.init)(jax.random.key(0), tokens(), jnp.zeros(BATCH, jnp.int32))


def tokens(seed=0):
    return jax.random.randint(jax.random.key(seed), (BATCH, 16), 0, 6)


def question(variables):
    return Question(tokens(), variables["puzzle_embedding"]["table"][jnp.arange(BATCH) % 3])


def states(model, dtype="float32"):
    shape = model.num_states, BATCH, *model.state_shape
    return tuple(jax.random.normal(jax.random.key(1), shape).astype(dtype))


def step(model, variables, asked, before):
    return jax.jit(supervision_step, static_argnums=(0, 4))(
        model, variables, asked, before, Depth(2, 2)
    )


def network_states(model, dtype="float32"):
    return jnp.moveaxis(states(model, dtype)[0], 0, model.batch_axis)


def test_every_registered_model_has_a_case():
    assert {case["name"] for case in CASES.values()} == set(MODELS) - set(CANDIDATE_MODELS)


def test_it_has_every_member_of_the_contract(model):
    assert isinstance(model, Model)


def test_its_variables_are_in_the_three_collections(variables):
    assert set(variables) <= {"params", "constants", "puzzle_embedding"}
    assert len(variables["puzzle_embedding"]["table"]) == 3


def test_embedding_has_the_shape_and_dtype_of_a_state(model, variables):
    asked = question(variables)
    x = model.apply(variables, asked.inputs, asked.puzzle_rows, method="embed")
    assert (x.shape, x.dtype) == ((BATCH, *model.state_shape), model.dtype)


def test_the_network_keeps_shape_and_dtype(model, variables):
    h = network_states(model)
    found = model.apply(variables, h, method="network")
    assert (found.shape, found.dtype) == (h.shape, h.dtype)


def test_initial_states_broadcast_to_a_batch_of_states(model, variables):
    found = model.apply(
        variables, jax.random.split(jax.random.key(3), BATCH), method="initial_state"
    )
    assert len(found) == model.num_states
    for state in found:
        assert jnp.broadcast_to(state, (BATCH, *model.state_shape)).dtype == model.dtype


def test_the_heads_read_float32_logits_of_every_cell(model, variables):
    outputs = model.apply(variables, states(model)[0], method="heads")
    assert outputs.logits.shape == (BATCH, 16, model.vocab_size)
    assert outputs.halt_logits.shape == outputs.continue_logits.shape == (BATCH,)
    assert {leaf.dtype for leaf in outputs} == {jnp.dtype("float32")}


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model, variables):
    asked, before = question(variables), states(model)
    _, together = step(model, variables, asked, before)
    others = asked._replace(inputs=asked.inputs.at[1:].set(tokens(seed=7)[1:]))
    _, apart = step(model, variables, others, before)
    np.testing.assert_allclose(together.logits[0], apart.logits[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together.logits[1:], apart.logits[1:], atol=1e-5)


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(model, variables):
    drawn = contract.random_params(variables)

    def total(params):
        found = step(model, drawn | {"params": params}, question(variables), states(model))
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in found[1])

    contract.check_gradients(jax.grad(total)(drawn["params"]))


def test_bfloat16_states_keep_float32_parameters(settings, variables):
    model = build(settings | {"dtype": "bfloat16"}, RELATIONS, **TASK)
    fresh = jax.eval_shape(model.init, jax.random.key(0), tokens(), jnp.zeros(BATCH, jnp.int32))
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh["params"])} == {jnp.dtype("float32")}
    after, _ = step(model, variables, question(variables), states(model, "bfloat16"))
    assert {state.dtype for state in after} == {jnp.dtype("bfloat16")}


def test_a_clone_differs_only_in_what_was_changed(model):
    clone = model.clone(param_dtype="bfloat16")
    assert clone.param_dtype == "bfloat16"
    assert clone.state_shape == model.state_shape


def test_its_costs_are_positive_integers(model):
    contract.check_costs(model)


def test_each_sharding_rule_names_a_parameter_and_one_of_its_axes(model, variables):
    contract.check_sharding_rules(model, variables["params"])
