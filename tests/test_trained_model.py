"""A trained model is saved to a folder and loaded again, from there or from the hub."""

import hashlib
import json
import pathlib

import huggingface_hub
import jax
import numpy as np
import pytest

from cgar_jax import model_files, model_loading, trained_model
from cgar_jax.data import Fingerprint
from cgar_jax.training.state import averaged
from tests.training import problem

TRAINED_ON = Fingerprint(
    {"num_examples": 3}, {"b/c": {"pairs": "ab", "variants": "0" * 22}, "": {"variants": "1" * 11}}
)


def fresh(**changes):
    """Returns an untrained model without a parameter that is zero."""
    experiment, _, state = problem.build(**changes)
    keys = iter(jax.random.split(jax.random.key(1), 100))
    params = jax.tree.map(
        lambda leaf: jax.random.normal(next(keys), leaf.shape, leaf.dtype), averaged(state)
    )
    return trained_model.TrainedModel(
        experiment, params, step=7, origin="step_7", trained_on=TRAINED_ON
    )


@pytest.fixture(scope="module")
def model():
    return fresh()


def assert_same(ours, theirs):
    def same(a, b):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)

    jax.tree.map(same, ours.params, theirs.params)
    assert ours.experiment.task == theirs.experiment.task
    assert ours.config.to_json() == theirs.config.to_json()
    assert (ours.step, ours.origin) == (theirs.step, theirs.origin)
    assert ours.trained_on == theirs.trained_on
    assert list(ours.trained_on.puzzles) == list(theirs.trained_on.puzzles)


@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
def test_a_saved_model_is_loaded_bit_for_bit(param_dtype, tmp_path):
    model = fresh(model__param_dtype=param_dtype, model__mixing="attention")
    trained_model.save(tmp_path, model, "a card")
    assert_same(model_loading.load(tmp_path), model)
    assert (tmp_path / "README.md").read_text() == "a card"


def test_a_saved_model_replaces_an_earlier_one(model, tmp_path):
    trained_model.save(tmp_path, fresh(), "old", {"exact_accuracy": 1.0}, b"a program")
    trained_model.save(tmp_path, model, "new")
    assert {f.name for f in tmp_path.iterdir()} == {
        "README.md",
        "config.json",
        model_files.CHECKSUM,
        model_files.PARAMETERS,
        model_files.TRAINED_ON,
    }
    assert_same(model_loading.load(tmp_path), model)


def test_the_checksum_is_that_of_the_parameters(model, tmp_path):
    trained_model.save(tmp_path, model, "a card")
    digest = hashlib.sha256((tmp_path / model_files.PARAMETERS).read_bytes()).hexdigest()
    assert (tmp_path / model_files.CHECKSUM).read_text() == f"{digest}  model.safetensors\n"


def test_the_parameters_have_the_file_permissions_of_the_card(model, tmp_path):
    trained_model.save(tmp_path, model, "a card")
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


def fails(*_):
    raise OSError("no space left")


def test_the_old_model_stays_until_the_new_one_is_on_disk(model, tmp_path, monkeypatch):
    trained_model.save(tmp_path, model, "old")
    monkeypatch.setattr(pathlib.Path, "write_bytes", fails)
    with pytest.raises(OSError, match="no space left"):
        trained_model.save(tmp_path, fresh(), "new")
    assert_same(model_loading.load(tmp_path), model)


def test_a_half_written_folder_holds_no_model_and_can_be_written_again(
    model, tmp_path, monkeypatch
):
    trained_model.save(tmp_path, model, "old")
    with monkeypatch.context() as patched:
        patched.setattr(model_files.os, "replace", fails)
        with pytest.raises(OSError, match="no space left"):
            trained_model.save(tmp_path, model, "new")
    with pytest.raises(FileNotFoundError, match="there is no run in"):
        model_loading.load(tmp_path)
    trained_model.save(tmp_path, model, "new")
    assert_same(model_loading.load(tmp_path), model)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_folder_with_other_files_is_left_untouched(model, tmp_path):
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds other files \(config.json\)"):
        trained_model.save(tmp_path, model, "a card")
    assert [f.read_text() for f in tmp_path.iterdir()] == ["mine"]


def test_a_model_on_the_hub_is_loaded_by_its_name(model, tmp_path, monkeypatch):
    trained_model.save(tmp_path, model, "a card", {"exact_accuracy": 1.0})
    hub = {"owner/name": tmp_path}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(hub[name]))
    assert_same(model_loading.load("owner/name"), model)
    with pytest.raises(ConnectionError, match="cannot be reached to look for a model of that name"):
        model_loading.load("owner/other")


def test_a_missing_run_is_an_error_that_lists_the_runs_beside_it(model, tmp_path):
    trained_model.save(tmp_path / "one", model, "a card")
    for missing in (tmp_path / "other", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"the runs in {tmp_path} are one$"):
            model_loading.load(missing)


def test_a_missing_folder_beside_others_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no run in runs/one"):
        model_loading.load("runs/one")


def test_without_a_network_a_hub_name_is_an_error_in_one_sentence(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="check the network") as raised:
        model_loading.load("owner/none-of-this-name")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{}", "is not the config of a cgar_jax run or model"),
        ("config.json", "not JSON", "is not the config of a cgar_jax run or model"),
        (model_files.TRAINED_ON, "cut off", "is not the record of a training set"),
        (model_files.PARAMETERS, "cut off", "is neither a .safetensors file"),
    ],
)
def test_a_damaged_file_is_named(model, tmp_path, name, content, message):
    trained_model.save(tmp_path, model, "a card")
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        model_loading.load(tmp_path)
    assert str(tmp_path / name) in str(raised.value)


def test_parameters_of_another_model_are_named(model, tmp_path):
    trained_model.save(tmp_path, model, "a card")
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["model"]["hidden_size"] = 32
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"inner\.H_init has shape \(16,\), but this model"):
        model_loading.load(tmp_path)
