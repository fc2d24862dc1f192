"""The report of tiny runs: one page that contains all pictures and needs nothing else."""

import base64
import json
import re
import shutil

import pytest

from cgar_jax import model_loading
from tests import running as commands

PICTURES = {
    "learning_curves",
    "accuracy_by_flops",
    "training_signals",
    "accuracy_by_step",
    "halting_histogram",
    "loss_weights",
    "gradient_norms",
    "gradient_variances",
}


@pytest.fixture(scope="module")
def finished(finished_run, tmp_path_factory):
    """A copy of the finished run, because the page is written into its folder."""
    return shutil.copytree(finished_run[0], tmp_path_factory.mktemp("report") / "finished")


@pytest.fixture(scope="module")
def in_training(finished, tmp_path_factory):
    """A copy of the run before its end, in a folder with a hostile name."""
    folder = tmp_path_factory.mktemp("in_training") / "<script>alert('$1')"
    shutil.copytree(finished, folder)
    (folder / "result.json").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 41, "lo')  # cut off by a kill
    return folder


@pytest.fixture(scope="module")
def page(finished, in_training, cache):
    """The folder of a report on both runs, the text of its page, and the output."""
    code, output = commands.run(
        "report",
        f"--workdir={finished}",
        f"--workdir={in_training}",
        "--num_puzzles=15",
        "--num_minibatches=2",
        cache=cache,
    )
    assert code == 0, output
    folder = finished / "report"
    return folder, (folder / "index.html").read_text(), output


def test_every_picture_is_inside_the_page_and_beside_it(page):
    folder, text, _ = page
    assert {path.stem for path in folder.glob("*.svg")} == PICTURES
    inside = {
        base64.b64decode(each) for each in re.findall(r'src="data:image/[\w+]+;base64,(.*?)"', text)
    }
    files = [*folder.glob("*.svg"), *folder.glob("*.gif")]
    assert len(files) > len(PICTURES)
    assert inside == {path.read_bytes() for path in files}


def test_the_page_refers_to_nothing_outside_of_itself(page):
    _, text, _ = page
    assert not re.search(r'(?:src|href|url|action)\s*[=(]\s*["\']?(?!data:)[^"\'\s]', text)
    assert "http" not in text
    assert "<script" not in text
    assert "<link" not in text


def test_names_are_escaped(page, in_training):
    _, text, _ = page
    assert in_training.name not in text
    assert "&lt;script&gt;alert(&#x27;$1&#x27;)" in text


def test_results_are_side_by_side_and_missing_ones_are_explained(page, finished):
    _, text, _ = page
    accuracy = json.loads((finished / "result.json").read_text())["exact_accuracy"]
    row = re.search(r"exact accuracy</th><td>(.*?)</td><td>(.*?)</td>", text)
    assert row[1].startswith(f"{accuracy:.2%} (95% interval ")
    assert row[2] == "–"
    assert "Without a result" in text


def test_the_page_says_how_much_was_measured(page, finished):
    _, text, _ = page
    assert f"15 of {finished.name}" in text
    assert f"Number of minibatches: 2 of {finished.name}" in text


def test_every_picture_has_an_alternative_text(page):
    _, text, _ = page
    alternatives = re.findall(r'<img [^>]*alt="(.*?)"', text)
    assert len(alternatives) == text.count("<img")
    assert all(alternatives)
    assert any("Last validation of finished" in each for each in alternatives)


def test_the_page_follows_dark_mode(page):
    assert "prefers-color-scheme: dark" in page[1]


def test_config_device_commit_and_date_are_shown(page, finished):
    _, text, _ = page
    assert f"<summary>Config of {finished.name}</summary>" in text
    for name in ("device", "commit", "finished", "cgar_jax"):
        assert f">{name}</th>" in text


def test_the_page_never_prints_nan(page):
    visible = re.sub('base64,.*?"|<style>.*?</style>', "", page[1], flags=re.DOTALL)
    assert not re.search(r"\bnan\b", visible, re.IGNORECASE)


def test_a_loaded_model_animates_a_puzzle_given_as_text(finished, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("CGAR_DATA_DIR", str(cache))
    model = model_loading.load(finished)
    trajectory = model.animate("1.3.34122.4.4321", tmp_path / "solving.gif")
    assert trajectory.answers.shape == (2 * 2, 16)
    assert (tmp_path / "solving.gif").read_bytes().startswith(b"GIF89a")


def test_progress_is_shown_while_the_report_is_built(page):
    _, _, output = page
    assert "loading the runs (0 s)" in output


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (lambda folder: shutil.rmtree(folder), [], "no run in"),
        (lambda folder: shutil.rmtree(folder / "checkpoints"), [], "no checkpoint in"),
        (lambda folder: None, ["--num_puzzles=0"], "num_puzzles is 0; expected 1 or more"),
        (lambda folder: None, ["--num_minibatches=1"], "expected 0, or 2 or more"),
    ],
    ids=["no run", "no checkpoint", "no puzzles", "one minibatch"],
)
def test_bad_input_is_one_message(spoil, arguments, message, finished, tmp_path, cache):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    spoil(folder)
    code, output = commands.run("report", f"--workdir={folder}", *arguments, cache=cache)
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_the_same_run_twice_is_an_error(finished, cache):
    workdir = f"--workdir={finished}"
    code, output = commands.run("report", workdir, f"{workdir}/../{finished.name}", cache=cache)
    assert code == 2
    assert "given twice" in output
