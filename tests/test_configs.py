"""Every config describes its experiment, and its training step can be built."""

import pathlib

import jax
import jax.export
import jax.numpy as jnp
import pytest

from cgar_jax import data, experiment
from cgar_jax.config import (
    METHODS,
    PUBLISHED_MODELS,
    default_config,
    published_model,
    set_method,
)
from cgar_jax.curricula import Depth, as_depth_choice
from cgar_jax.data.augmentation import augmentation_for
from cgar_jax.data.families.arc.augmentation import augment
from cgar_jax.mesh import replicated
from cgar_jax.training.programs import step_program
from configs import sudoku_deduction_mini, sudoku_mini
from tests.running import load

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))
FULL_SIZE = [p for p in CONFIGS if not p.stem.endswith("mini") and "deduction" not in p.stem]
NUM_STAGES = {"sudoku_deduction": 2}
TASK = experiment.Task(vocab_size=11, sequence_length=81, num_puzzle_identifiers=1)
# The published depth of each benchmark: n and T of the last stage.
FULL_DEPTHS = {"arc": Depth(4, 3), "maze": Depth(4, 3), "sudoku": Depth(6, 3)}


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_the_docstring_has_command_hardware_and_expected_result(path):
    described = load(path).__doc__
    assert f"    cgar train {path.stem}" in described
    assert "Hardware" in described
    assert "Expected result" in described


@pytest.mark.parametrize("method", METHODS)
def test_one_word_switches_the_method(path, method):
    config = load(path).get_config(method)
    num_stages = NUM_STAGES.get(path.stem, 3)
    pieces = experiment.build(config, TASK)
    assert len(pieces.curriculum.stages) == (num_stages if method in ("cgar", "pdc") else 1)
    assert bool(config.weighting) == (method in ("cgar", "hsw"))
    full = pieces.curriculum.full_depth
    last = as_depth_choice(pieces.curriculum(1.0))
    assert len(last.draws) == {"nested": full.T, "plateau": num_stages}.get(method, 1)
    reads_every_cycle = method == "exits" or full.n == 0
    assert last.num_exits == (full.T if reads_every_cycle else 1)


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_a_published_model_is_combined_with_a_method(name):
    plain, grown = sudoku_mini.get_config(name), sudoku_mini.get_config(f"{name}+plateau")
    assert plain.curriculum.name == "fixed_depth_curriculum"
    assert grown.curriculum.name == "plateau_depth_curriculum"
    assert plain.model == grown.model
    assert published_model(plain) == published_model(grown) == name
    differing = plain.model != sudoku_mini.get_config("trm").model
    assert differing


@pytest.mark.parametrize(
    ("method", "message"),
    [("urmm", "did you mean 'urm'"), ("urm+rsm", "unknown method 'rsm'"), ("cgar+urm", "cgar")],
)
def test_a_method_that_does_not_exist_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        sudoku_mini.get_config(method)


@pytest.mark.parametrize(
    ("model", "setting", "value", "message"),
    [
        ("se_rrm", "supervision.criterion", "head", "needs a model with a halting head"),
        ("urm", "recursion.transition_probability", 0.1, "set model.num_states to 2"),
        ("trm", "recursion.gradient_calls", "first", "expected one of: 'all', 'last'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(model, setting, value, message):
    config = sudoku_mini.get_config(model)
    config.update_from_flattened_dict({setting: value})
    with pytest.raises(ValueError, match=message):
        experiment.build(config, TASK)


def test_a_published_model_does_not_change_a_candidate_model():
    with pytest.raises(ValueError, match="the config has 'relational'"):
        sudoku_deduction_mini.get_config("urm")


@pytest.mark.parametrize("name", ["sudoku_mini", "sudoku_deduction_mini"])
def test_other_configs_have_the_model_that_they_name(name):
    config = load(pathlib.Path("configs") / f"{name}.py").get_config()
    assert published_model(config) == config.model.name


def test_the_default_config_is_cgar():
    config = default_config()
    explicit = default_config()
    set_method(explicit, "cgar")
    assert config == explicit
    assert config.weighting
    assert config.curriculum.name == "progressive_depth_curriculum"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_replaces_the_weighting_of_another(method):
    config = default_config()
    set_method(config, "cgar")
    set_method(config, method)
    assert bool(config.weighting) == (method in ("cgar", "hsw"))


@pytest.mark.parametrize(
    ("method", "curriculum"),
    [("trm", "fixed_depth_curriculum"), ("plateau", "plateau_depth_curriculum")],
)
def test_a_second_method_is_an_error_if_the_stages_are_lost(method, curriculum):
    config = default_config()
    set_method(config, method)
    with pytest.raises(ValueError, match=curriculum):
        set_method(config, "cgar")


@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: path.stem)
def test_full_size_configs_have_the_published_depth(path):
    config = load(path).get_config()
    full = experiment.build(config, TASK).curriculum.full_depth
    assert full == FULL_DEPTHS[config.data.name]


def augmentation(pieces):
    """Returns the family's augmentation; for ARC, with the shapes of its table of variants."""
    if pieces.config.data.name != "arc":
        rules = data.rules_of(pieces.config.data.name)
        return augmentation_for(rules.symmetries(pieces.task.sequence_length))
    variants = pieces.task.num_puzzle_identifiers
    shapes = ((961,), jnp.int32), ((variants,), jnp.uint8), ((variants, 10), jnp.uint8)
    whole = replicated(pieces.mesh)
    tables = [jax.ShapeDtypeStruct(*shape, sharding=whole) for shape in shapes]
    return jax.tree_util.Partial(augment, *tables)


# Numbers of devices and, of these, along the axis `fsdp`. The test machine has none of them.
MESHES = ((8, 1), (256, 4))


@pytest.mark.parametrize(
    ("path", "num_devices", "fsdp"),
    [(path, *mesh) for path in CONFIGS for mesh in (MESHES if path in FULL_SIZE else MESHES[:1])],
    ids=lambda value: getattr(value, "stem", str(value)),
)
def test_the_training_step_lowers_for_tpus_and_gpus(path, num_devices, fsdp):
    config = load(path).get_config()
    config.mesh.fsdp = fsdp
    task = experiment.Task(*data.expected(config.data)[:3])
    pieces = experiment.build(config, task, num_devices)
    function, arguments = step_program(
        pieces.train_step,
        pieces.curriculum(1.0),
        pieces.abstract_state(),
        pieces.abstract_training_set(1_000, augmentation(pieces)),
    )
    exported = jax.export.export(function, platforms=("tpu", "cuda"))(*arguments)
    assert exported.nr_devices == num_devices
    assert set(exported.platforms) == {"tpu", "cuda"}
    state, _ = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    shapes = jax.tree.map(lambda leaf: leaf.shape, arguments[0])
    assert jax.tree.map(lambda leaf: leaf.shape, state) == shapes


# TRM's paper reports 5 million parameters with token mixing and 7 million with attention.
@pytest.mark.parametrize(
    ("name", "millions"), [("sudoku_extreme", 5), ("sudoku_extreme_attention", 7)]
)
def test_full_size_models_have_the_published_number_of_parameters(name, millions):
    config = load(CONFIGS[0].with_name(f"{name}.py")).get_config()
    params = experiment.build(config, TASK).abstract_state().params
    assert round(sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6) == millions
