"""Settings can be stored and read back, and impossible ones are refused."""

import enum
import functools
import math
import operator
import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import data, experiment, runs
from cgar_jax.config import METHODS, default_config
from cgar_jax.config_values import plain_config
from tests.running import ROOT, load

CONFIGS = sorted((ROOT / "configs").glob("*.py"))
TASK = experiment.Task(vocab_size=11, sequence_length=81, num_puzzle_identifiers=1)
SCALARS = {
    "a NumPy float": (np.float32(0.25), 0.25),
    "a NumPy integer": (np.int64(3), 3),
    "a NumPy boolean": (np.bool_(True), True),
    "a NumPy string": (np.str_("word"), "word"),
    "a NumPy array": (np.arange(4).reshape(2, 2), ((0, 1), (2, 3))),
    "a JAX float": (jnp.float32(0.25), 0.25),
    "a JAX bfloat16": (jnp.bfloat16(0.25), 0.25),
    "a JAX integer": (jnp.int32(3), 3),
    "a member of an enumeration": (enum.IntEnum("Number", {"THREE": 3}).THREE, 3),
    "a list": ([1, [2.5]], (1, (2.5,))),
    "a path": (pathlib.Path("some/folder"), "some/folder"),
}


def with_value(value):
    return {"curriculum": {"stages": ((value, 1), (4, 2))}, "weighting": (("w", {"k": value}),)}


def read_back(tmp_path, config):
    runs.write_json(tmp_path / runs.SETTINGS, runs.settings(config, TASK))
    return runs.read_settings(tmp_path)[0]


@pytest.mark.parametrize(("value", "plain"), SCALARS.values(), ids=SCALARS.keys())
def test_a_value_becomes_one_of_python_wherever_it_is(value, plain):
    config = plain_config(with_value(value))
    assert config.curriculum.stages == ((plain, 1), (4, 2))
    assert config.weighting == (("w", (("k", plain),)),)
    assert type(config.weighting[0][1][0][1]) is type(plain)


@pytest.mark.parametrize(("value", "plain"), SCALARS.values(), ids=SCALARS.keys())
def test_a_stored_value_is_read_back_unchanged(tmp_path, value, plain):
    config = with_value(value)
    assert read_back(tmp_path, config) == plain_config(config)


@given(st.floats(allow_nan=False) | st.integers() | st.booleans() | st.text() | st.none())
def test_every_value_of_python_is_read_back_unchanged(tmp_path_factory, value):
    config = plain_config({"key": value, "group": {"key": (value, (value,))}})
    assert read_back(tmp_path_factory.mktemp("run"), config) == config


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_settings_of_every_config_are_read_back_unchanged(tmp_path, path, method):
    config = load(path).get_config(method)
    assert read_back(tmp_path, config) == plain_config(config) == config


@pytest.mark.parametrize("method", METHODS)
def test_a_config_can_be_frozen_and_built(method):
    config = load(CONFIGS[0]).get_config(method)
    frozen = ml_collections.FrozenConfigDict(config)
    assert experiment.build(frozen, TASK).config == config


@pytest.mark.parametrize(
    "value",
    [
        object(),
        math.nan,
        np.float64("nan"),
        jnp.nan,
        {1: 2},
        {1, 2},
        b"bytes",
        1j,
        jax.random.key(0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_stored_is_refused_with_its_key(value):
    with pytest.raises(ValueError, match=r"config\.curriculum\.stages\[0\]\[0\]"):
        plain_config(with_value(value))


def test_a_traced_value_is_refused_with_its_key():
    with pytest.raises(ValueError, match=r"config\.rate is an array without a value"):
        jax.jit(lambda rate: plain_config({"rate": rate}).rate)(1.0)


# ---- ranges ----


def numeric_keys(config, prefix=""):
    """Yields the key and the value of every number in a config."""
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from numeric_keys(value, f"{prefix}{key}.")
        elif type(value) in (int, float):
            yield prefix + key, value


def changed(path, key, value):
    config = load(path).get_config("hsw").unlock()
    *groups, name = key.split(".")
    group = functools.reduce(operator.getitem, groups, config)
    with group.ignore_type():
        group[name] = value
    return config


def check(config):
    data.expected(config.data)
    experiment.build(config, TASK)


def test_a_run_that_is_shorter_than_its_warm_up_can_be_built():
    config = default_config()
    config.training.steps = 20
    assert config.optimizer.warmup_steps > 20
    experiment.build(config, TASK)


MINI = [path for path in CONFIGS if path.stem.endswith("mini")]
NUMBERS = [
    (path, key)
    for path in MINI
    for key, _ in numeric_keys(load(path).get_config("hsw"))
    if path == MINI[0] or key.startswith("data.")
]


@pytest.mark.parametrize("value", [-7, math.nan, "many"], ids=str)
@pytest.mark.parametrize(("path", "key"), NUMBERS, ids=lambda each: getattr(each, "stem", each))
def test_a_number_outside_its_range_is_refused_with_its_name(path, key, value):
    with pytest.raises(ValueError, match=rf"\b{key.split('.')[-1]}\b"):
        check(changed(path, key, value))
