"""Every registered candidate model fulfills the contract; a new one is one more case in `CASES`."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.data import rules_of
from cgar_jax.models import CANDIDATE_MODELS, CandidateModel, Model, build
from cgar_jax.recursion.elimination import run_pass
from tests.models import contract

CASES = {
    "relational": {"name": "relational", "hidden_size": 8, "inner_size_multiple": 8},
    "ldt": {"name": "ldt", "hidden_size": 8, "num_heads": 2, "num_layers": 2},
}
TASK = {"vocab_size": 6, "sequence_length": 16, "num_puzzle_identifiers": 1}
RELATIONS = rules_of("sudoku").relations(16)
BATCH = 3


@pytest.fixture(scope="module", params=CASES)
def settings(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def model(settings):
    return build(settings, RELATIONS, 4, **TASK)


@pytest.fixture(scope="module")
def variables(model):
    fresh = model.init(jax.random.key(0), jnp.zeros((1, 16), int), jnp.zeros(1, int))
    return contract.random_params(fresh)


def candidates():
    return jax.random.bernoulli(jax.random.key(2), 0.6, (BATCH, 16, 4))


def outputs(model, variables, asked):
    """Returns the outputs after three loops."""
    states = jnp.zeros((len(asked), *model.state_shape), model.dtype)
    return jax.jit(lambda a: run_pass(model, variables, a, states, 3, lambda out: ())[2])(asked)


def test_every_registered_candidate_model_has_a_case():
    assert {case["name"] for case in CASES.values()} == set(CANDIDATE_MODELS)


def test_it_fulfills_both_contracts(model):
    assert isinstance(model, Model)
    assert isinstance(model, CandidateModel)


def test_embedding_and_network_keep_the_shape_of_a_state(model, variables):
    x = model.apply(variables, candidates(), None, method="embed")
    assert (x.shape, x.dtype) == ((BATCH, *model.state_shape), model.dtype)
    h = jnp.moveaxis(x, 0, model.batch_axis)
    found = model.apply(variables, h, method="network")
    assert (found.shape, found.dtype) == (h.shape, h.dtype)


def test_the_heads_read_float32_logits_of_every_candidate(model, variables):
    found = outputs(model, variables, candidates())
    assert found.keep_logits.shape == found.digit_logits.shape == (BATCH, 16, 4)
    assert found.conflict_logits.shape == (BATCH,)
    assert {leaf.dtype for leaf in found} == {jnp.dtype("float32")}


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model, variables):
    together = outputs(model, variables, candidates())
    apart = outputs(model, variables, candidates().at[1:].set(True))
    np.testing.assert_allclose(together.keep_logits[0], apart.keep_logits[0], atol=1e-5)
    assert not np.allclose(together.keep_logits[1:], apart.keep_logits[1:], atol=1e-3)


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(model, variables):
    states = jnp.zeros((BATCH, *model.state_shape))

    def total(params):
        read = lambda out: sum(jnp.sum(jnp.sin(leaf)) for leaf in out)  # noqa: E731
        of_params = variables | {"params": params}
        return run_pass(model, of_params, candidates(), states, 2, read)[1].sum()

    contract.check_gradients(jax.grad(total)(variables["params"]))


def test_bfloat16_states_keep_float32_parameters(settings, variables):
    model = build(settings | {"dtype": "bfloat16"}, RELATIONS, 4, **TASK)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    x = model.apply(variables, candidates(), None, method="embed")
    h = model.apply(variables, jnp.moveaxis(x, 0, model.batch_axis), method="network")
    assert x.dtype == h.dtype == jnp.bfloat16


def test_its_costs_are_positive_integers(model):
    contract.check_costs(model)


def test_counted_flops_are_those_of_its_matrix_products(model, variables):
    h = jnp.zeros((1, *model.state_shape))
    h = jnp.moveaxis(h, 0, model.batch_axis)
    jaxpr = jax.make_jaxpr(lambda h: model.apply(variables, h, method="network"))(h)
    assert model.network_flops() == pytest.approx(product_flops(jaxpr.jaxpr), rel=0.02)


def product_flops(jaxpr):
    """Counts 2 FLOPs per multiply-add of all matrix products, those of inner functions included."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted])
            total += 2 * depth * equation.outvars[0].aval.size
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            total += product_flops(inner)
    return total


def test_each_sharding_rule_names_a_parameter_and_one_of_its_axes(model, variables):
    contract.check_sharding_rules(model, variables["params"])


@pytest.mark.parametrize("name", CANDIDATE_MODELS)
def test_puzzles_without_relations_are_refused(name):
    with pytest.raises(ValueError, match="groups of cells that must all differ"):
        build({"name": name}, (), 4, **TASK)
