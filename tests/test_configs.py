"""Every config there is: it says how to run it, and its training step can be built."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import pytest

from cgar_jax import experiment
from cgar_jax.config import METHODS
from cgar_jax.curricula import Depth
from cgar_jax.data import keep_as_is
from cgar_jax.training.feed import TrainingSet, as_partial
from cgar_jax.training.step import CARRIED

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))
FULL_SIZE = [path for path in CONFIGS if not path.stem.endswith("mini")]
TASK = experiment.Task(vocab_size=11, sequence_length=81, num_puzzle_identifiers=1)
# n and T of the last stage, as published for the benchmark.
FULL_DEPTHS = {"arc": Depth(4, 3), "maze": Depth(4, 3), "sudoku": Depth(6, 3)}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_a_config_tells_its_command(path):
    assert f"python -m cgar_jax.train --config=configs/{path.name}" in load(path).__doc__


@pytest.mark.parametrize("method", METHODS)
def test_one_word_switches_the_method(path, method):
    config = load(path).get_config(method)
    pieces = experiment.build(config, TASK)
    assert len(pieces.curriculum.stages) == (3 if method in ("cgar", "pdc") else 1)
    assert len(config.weighting) == (1 if method in ("cgar", "hsw") else 0)
    full = pieces.curriculum.full_depth
    assert len(pieces.curriculum(1.0).draws) == (full.T if method == "nested" else 1)
    assert pieces.curriculum(1.0).num_exits == (full.T if method == "exits" else 1)


@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: path.stem)
def test_full_size_configs_have_the_published_depth(path):
    config = load(path).get_config()
    full = experiment.build(config, TASK).curriculum.full_depth
    assert full == FULL_DEPTHS[config.data.name]


def test_the_training_step_of_a_config_lowers_on_eight_devices(path):
    pieces = experiment.build(load(path).get_config(), TASK)
    state = pieces.abstract_state()
    columns = {
        name: jax.ShapeDtypeStruct((50, *shape(81)), dtype)
        for name, (shape, dtype) in CARRIED.items()
    }
    groups = jax.ShapeDtypeStruct((50,), jnp.int32)
    dataset = TrainingSet(columns | {"groups": groups}, as_partial(keep_as_is))
    step = jax.jit(functools.partial(pieces.train_step.step, pieces.curriculum(1.0)))
    assert step.lower(state, dataset).out_info[0].params == jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state.params
    )


# TRM's paper: 5 million parameters with token mixing, 7 million with attention.
@pytest.mark.parametrize(
    ("name", "millions"), [("sudoku_extreme", 5), ("sudoku_extreme_attention", 7)]
)
def test_full_size_models_have_the_published_number_of_parameters(name, millions):
    config = load(CONFIGS[0].with_name(f"{name}.py")).get_config()
    params = experiment.build(config, TASK).abstract_state().params
    assert round(sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6) == millions
