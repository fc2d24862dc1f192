"""An exported model scores as its run, its card is true, and its program needs only JAX."""

import dataclasses
import json
import re
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest

from cgar_jax import data, model_files, model_loading
from cgar_jax.config import default_config
from cgar_jax.config_source import source_of
from tests import running as commands
from tests import test_configs
from tests.test_trained_model import fresh

ALONE = """
import sys

class NotHere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cgar_jax", "flax", "orbax"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotHere())
"""


@pytest.fixture(scope="module")
def run(finished_run):
    """The folder of a finished run."""
    return finished_run[0]


@pytest.fixture(scope="module")
def shared(run, cache, tmp_path_factory):
    """The folder to which the command exports the run."""
    folder = tmp_path_factory.mktemp("export") / "shared"
    code, output = commands.run(
        "export",
        f"--workdir={run}",
        f"--output={folder}",
        "--stablehlo",
        cache=cache,
    )
    assert code == 0, output
    assert "solve.stablehlo" in output
    return folder


@pytest.fixture
def dataset(run, cache, monkeypatch):
    monkeypatch.setenv("CGAR_DATA_DIR", str(cache))
    return data.load(model_loading.load(run).config.data)


def snippet(card, after):
    """Returns the first Python example of the card below a heading."""
    return re.search(r"```python\n(.*?)```", card.split(after)[1], re.DOTALL).group(1)


def test_an_exported_model_scores_as_its_run_does(run, shared, dataset):
    scores = model_loading.load(shared).evaluate()
    assert scores == model_loading.load(run).evaluate()
    assert scores["exact_accuracy"] == commands.result(run)["exact_accuracy"]
    assert commands.result(shared) == commands.result(run)


def test_an_exported_model_is_exported_again_unchanged(shared, tmp_path):
    model_loading.load(shared).export(tmp_path, stablehlo=True)
    for file in shared.iterdir():
        if file.name != model_files.PROGRAM:  # it contains line numbers of the source
            assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_program_gives_the_answers_of_the_model_without_this_package(shared, dataset, tmp_path):
    questions = dataset.test["inputs"].astype(np.int32)
    np.save(tmp_path / "questions.npy", questions)
    example = snippet((shared / "README.md").read_text(), "## Without cgar_jax")
    work = f"""
answers, probabilities = solve.call(np.load(r"{tmp_path}/questions.npy"))
np.savez(r"{tmp_path}/found.npz", answers=answers, probabilities=probabilities)
assert "cgar_jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", ALONE + example + work], cwd=shared, check=True)
    found = np.load(tmp_path / "found.npz")

    model = model_loading.load(shared)
    (predicted,) = model.experiment.evaluator.predict(model.params, dataset.test)
    np.testing.assert_array_equal(found["answers"], predicted.answers)
    np.testing.assert_allclose(found["probabilities"], predicted.halting_probabilities, atol=1e-6)
    solutions = model.solve(questions, stop="budget")
    np.testing.assert_array_equal(found["answers"], [each.answer for each in solutions])


def test_the_program_runs_on_each_platform_and_takes_only_questions(shared):
    found = jax.export.deserialize(bytearray((shared / model_files.PROGRAM).read_bytes()))
    assert found.platforms == ("cpu", "cuda", "tpu")
    assert [str(shape) for shape in found.in_avals] == ["int32[batch,16]"]
    assert [str(shape) for shape in found.out_avals] == ["int32[batch,16]", "float32[batch]"]


def test_a_model_of_puzzles_with_embeddings_has_no_program(tmp_path):
    model = fresh()
    model.config.data.name = "arc"
    with pytest.raises(ValueError, match="can only answer the puzzles that it was trained on"):
        model.export(tmp_path, stablehlo=True)


def test_the_result_of_other_parameters_is_not_exported(run, tmp_path):
    # As if the newest checkpoint were damaged and an earlier one had been loaded.
    dataclasses.replace(model_loading.load(run), step=30).export(tmp_path)
    assert not (tmp_path / "result.json").exists()
    assert "nothing has been measured" in (tmp_path / "README.md").read_text()


def test_a_later_checkpoint_of_a_run_replaces_an_earlier_export_of_it(run, tmp_path):
    model = model_loading.load(run)
    dataclasses.replace(model, step=30).export(tmp_path)
    model.export(tmp_path)
    assert model_loading.load(tmp_path).step == model.step
    with pytest.raises(FileExistsError, match="holds a later checkpoint of this run"):
        dataclasses.replace(model, step=30).export(tmp_path)


@pytest.mark.parametrize("origin", ["", "step_65100"])
def test_another_model_in_the_folder_is_replaced_only_if_asked(tmp_path, origin):
    first, second = fresh(), dataclasses.replace(fresh(), step=9, origin=origin)
    second.config.seed += 1
    first.export(tmp_path)
    with pytest.raises(FileExistsError, match=r"holds another model, .* --overwrite"):
        second.export(tmp_path)
    assert model_loading.load(tmp_path).step == first.step
    second.export(tmp_path, overwrite=True)
    assert model_loading.load(tmp_path).step == 9


@pytest.mark.parametrize("path", test_configs.CONFIGS, ids=lambda path: path.stem)
def test_a_config_written_out_is_the_same_config(path):
    config = test_configs.load(path).get_config()
    saved = as_saved(config)
    assert as_saved(rebuilt(source_of(type(config)(saved)))) == saved


def test_a_config_written_out_has_what_differs_from_the_default_alone():
    config = default_config()
    config.seed = 3
    config.data.min_difficulty = float("inf")
    assert source_of(config).splitlines()[4:-1] == [
        "    config = default_config()",
        "    config.data.min_difficulty = float('inf')",
        "    config.seed = 3",
    ]


def rebuilt(source):
    names = {}
    exec(source, names)
    return names["get_config"]()


def as_saved(config):
    return json.loads(config.to_json_best_effort())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir={run}"], "cgar export needs --output"),
        (["--workdir={run}", "--output={run}"], "holds other files (checkpoints, config.json"),
        (["--workdir={run}", "--output={run}/config.json"], "config.json is a file"),
        (["--workdir={run}", "--output=/proc/model"], "cannot write to output /proc/model"),
        (["--workdir={run}/nothing", "--output={run}/new"], "there is no run in"),
        (["--workdir={run}", "--output={run}/new", "more"], "unexpected arguments ['more']"),
    ],
)
def test_bad_input_is_one_clear_message_and_a_non_zero_exit(arguments, message, run, cache):
    arguments = [argument.format(run=run) for argument in arguments]
    code, output = commands.run("export", *arguments, cache=cache)
    assert code != 0
    assert message in output
    assert "Traceback" not in output
    assert not (run / "new").exists()
