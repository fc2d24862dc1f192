"""The TRM beyond parity: initialization, dtypes, settings, FLOPs and files of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import models
from cgar_jax.data import rules_of
from cgar_jax.models import TRM, export_published, import_published
from cgar_jax.models.trm import CHOICES
from cgar_jax.recursion import Depth, Question, supervision_step

SMALL = {"vocab_size": 6, "sequence_length": 16, "hidden_size": 32, "num_heads": 2}
SMALL |= {"num_puzzle_identifiers": 3, "puzzle_embedding_tokens": 2, "inner_size_multiple": 32}
RELATIONS = rules_of("sudoku").relations(16)


def init(model, seed=0):
    inputs = jnp.zeros((1, model.sequence_length), jnp.int32)
    return model.init(jax.random.key(seed), inputs, jnp.zeros(1, jnp.int32))


def outputs(model, variables, dtype="float32"):
    inputs = jax.random.randint(jax.random.key(1), (4, model.sequence_length), 0, 6)
    rows = jnp.zeros((4, model.hidden_size))
    y, z = jax.random.normal(jax.random.key(2), (2, 4, *model.state_shape)).astype(dtype)
    return supervision_step(model, variables, Question(inputs, rows), (y, z), Depth(2, 2))


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def test_the_halting_head_begins_certain_that_nothing_is_solved():
    params = init(TRM(**SMALL))["params"]
    np.testing.assert_array_equal(params["halting_head"], np.zeros((32, 2)))
    np.testing.assert_array_equal(params["halting_bias"], [-5, -5])


def test_the_puzzle_embedding_begins_at_zero():
    table = init(TRM(**SMALL))["puzzle_embedding"]["table"]
    np.testing.assert_array_equal(table, np.zeros((3, 32)))


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_matrices_begin_with_unit_gain_and_cut_off_tails(mixing):
    model = TRM(vocab_size=6, sequence_length=240, hidden_size=256, mixing=mixing)
    for name, kernel in flat(init(model)["params"]).items():
        if "layers" in name or name == "output_head":
            deviation = kernel.shape[0] ** -0.5
            assert float(kernel.std()) == pytest.approx(deviation, rel=0.05), name
            assert float(jnp.abs(kernel).max()) <= 2 * deviation / 0.8796 + 1e-6, name


def test_initial_states_are_drawn_with_unit_deviation():
    wide = {"hidden_size": 4096, "expansion": 0.1, "inner_size_multiple": 1}
    constants = init(TRM(**SMALL | wide))["constants"]
    for name in ("initial_y", "initial_z"):
        assert float(constants[name].std()) == pytest.approx(1, rel=0.05), name
    assert not np.array_equal(constants["initial_y"], constants["initial_z"])


@pytest.mark.parametrize("positions", CHOICES["positions"])
def test_attention_depends_on_positions_only_with_a_position_encoding(positions):
    model = TRM(**SMALL, mixing="attention", positions=positions)
    variables = init(model)
    order = jax.random.permutation(jax.random.key(3), 16)
    inputs = jax.random.randint(jax.random.key(1), (1, 16), 0, 6)
    y, z = jnp.ones((2, 1, *model.state_shape))

    def logits(inputs):
        question = Question(inputs, jnp.zeros((1, 32)))
        return supervision_step(model, variables, question, (y, z), Depth(1, 1))[1].logits

    same = np.allclose(logits(inputs)[:, order], logits(inputs[:, order]), atol=1e-5)
    assert same == (positions == "none")


def test_with_relations_alone_the_answer_moves_with_the_symmetries_of_the_board():
    model = TRM(**SMALL, mixing="attention", relation_bias=True, relations=RELATIONS)
    variables = init(model)
    variables["params"] = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(5), x.shape), variables["params"]
    )
    cells = np.arange(16).reshape(4, 4)
    inputs = jax.random.randint(jax.random.key(1), (1, 16), 0, 6)
    y, z = jnp.ones((2, 1, *model.state_shape))

    def logits(inputs):
        question = Question(inputs, jnp.zeros((1, 32)))
        return supervision_step(model, variables, question, (y, z), Depth(1, 1))[1].logits

    def moves(order):
        order = order.reshape(-1)
        return np.allclose(logits(inputs)[:, order], logits(inputs[:, order]), atol=1e-3)

    assert moves(cells[[1, 0, 3, 2]])  # rows within their bands
    assert moves(cells.T)
    assert not moves(cells[[0, 2, 1, 3]])  # a row in another band


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_bfloat16_compute_keeps_float32_parameters_and_outputs(mixing):
    model = TRM(**SMALL, mixing=mixing, dtype="bfloat16")
    variables = init(model)
    (y, z), result = outputs(model, variables, "bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert y.dtype == z.dtype == jnp.bfloat16
    assert result.logits.dtype == result.halt_logits.dtype == jnp.float32


def test_bfloat16_results_are_close_to_float32():
    model = TRM(**SMALL)
    variables = init(model)
    exact = outputs(model, variables)[1].logits
    rough = outputs(model.clone(dtype="bfloat16"), variables, "bfloat16")[1].logits
    assert float(jnp.abs(exact - rough).mean()) < 0.05 * float(jnp.abs(exact).mean())


@pytest.mark.parametrize("mixing", ["mlp", "attention"])
def test_the_flops_formula_agrees_with_the_compiler(mixing):
    model = TRM(**SMALL | {"hidden_size": 128}, mixing=mixing)
    variables = init(model)

    def network(h):
        return model.apply(variables, h, method="network")

    states = jnp.moveaxis(jnp.zeros((8, *model.state_shape)), 0, model.batch_axis)
    compiled = jax.jit(network).lower(states).compile()
    counted = compiled.cost_analysis()["flops"]
    # The compiler also counts norms, gates and softmax.
    assert 8 * model.network_flops() == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixing": "conv"}, "unknown mixing of TRM 'conv'"),
        ({"positions": "rope"}, "unknown positions of TRM 'rope'"),
        ({"positions": "rotary"}, "mixing='attention'"),
        ({"mixing": "attention", "num_heads": 5}, "not divisible by num_heads 5"),
        ({"puzzle_embedding_tokens": -1}, "an integer of at least 0"),
        ({"puzzle_embedding_tokens": 0, "puzzle_embedding_size": 1}, "at most 0"),
        ({"mlp": "convolutional"}, "mixing='attention'"),
        ({"num_states": 3}, "num_states is 3"),
        ({"num_hypotheses": 2, "num_states": 1}, "needs num_states=2"),
        ({"positions": "rotary_2d"}, "mixing='attention'"),
        ({"positions": "rotary_2d", "mixing": "attention", "sequence_length": 15}, "a square"),
        ({"positions": "rotary_halves", "mixing": "attention", "num_heads": 16}, "multiple of 4"),
        ({"relation_bias": True, "relations": RELATIONS}, "mixing='attention'"),
        ({"relation_bias": True, "mixing": "attention"}, "needs the relations"),
        ({"puzzle_embedding_size": 65}, "at most 64"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TRM(**SMALL | settings)


def test_a_misspelled_model_setting_names_the_right_one():
    with pytest.raises(ValueError, match="hidden_size"):
        models.build({"name": "trm", "hiden_size": 3}, vocab_size=6, sequence_length=16)


def test_published_parameters_survive_a_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = TRM(**SMALL, mixing="attention", positions="learned")
    variables = init(model)
    safetensors.save_file(export_published(variables, model), tmp_path / "trm.safetensors")
    back = import_published(tmp_path / "trm.safetensors", model)
    assert flat(back).keys() == flat(variables).keys()
    for name, leaf in flat(variables).items():
        np.testing.assert_array_equal(flat(back)[name], leaf, err_msg=name)


def test_published_parameters_survive_a_torch_file(tmp_path):
    torch = pytest.importorskip("torch")
    model = TRM(**SMALL)
    variables = init(model)
    arrays = {
        f"_orig_mod.model.{k}": torch.tensor(v)
        for k, v in export_published(variables, model).items()
    }
    torch.save(arrays, tmp_path / "trm.pt")
    back = import_published(tmp_path / "trm.pt", model)
    np.testing.assert_array_equal(back["params"]["output_head"], variables["params"]["output_head"])


@pytest.mark.parametrize("wrapper", ["ema.inner.", ""], ids=["another wrapper", "no prefix"])
def test_published_names_are_found_behind_any_wrapper_and_without_prefix(wrapper):
    model = TRM(**SMALL)
    variables = init(model)
    published = export_published(variables, model)
    renamed = {wrapper + k.removeprefix("inner."): array for k, array in published.items()}
    back = import_published(renamed, model)
    np.testing.assert_array_equal(back["params"]["output_head"], variables["params"]["output_head"])


def test_a_missing_published_parameter_is_named():
    model = TRM(**SMALL)
    arrays = export_published(init(model), model)
    del arrays["inner.lm_head.weight"]
    with pytest.raises(ValueError, match=r"missing \['inner.lm_head.weight'\]"):
        import_published(arrays, model)


def test_a_published_parameter_of_another_shape_is_named():
    model = TRM(**SMALL)
    arrays = export_published(init(model), model)
    arrays["inner.lm_head.weight"] = np.zeros((7, 32))
    with pytest.raises(ValueError, match=r"inner.lm_head.weight has shape \(7, 32\)"):
        import_published(arrays, model)


class Variant(TRM):
    """A model of a user's own, without a published counterpart."""


def test_a_model_that_inherits_from_trm_keeps_its_own_names():
    names = models.export_published(init(Variant(**SMALL)), Variant(**SMALL))
    assert "params/token_embedding" in names
