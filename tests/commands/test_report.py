"""The report of tiny runs: one page that holds all pictures and needs nothing else."""

import base64
import json
import re
import shutil

import pytest

from cgar_jax.commands import report
from tests import running as commands

PICTURES = {
    "learning_curves",
    "accuracy_by_flops",
    "accuracy_by_step",
    "halting_histogram",
    "accuracy_by_difficulty",
    "loss_weights",
    "gradient_norms",
    "gradient_variances",
}


@pytest.fixture(scope="module")
def finished(finished_run, tmp_path_factory):
    """A copy, because the page goes into it."""
    return shutil.copytree(finished_run[0], tmp_path_factory.mktemp("report") / "finished")


@pytest.fixture(scope="module")
def in_training(finished, tmp_path_factory):
    """A copy of the run as it was before its end, in a folder whose name is a trap."""
    folder = tmp_path_factory.mktemp("in_training") / "<script>alert('$1')"
    shutil.copytree(finished, folder)
    (folder / "result.json").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 41, "lo')  # torn by a kill
    return folder


@pytest.fixture(scope="module")
def page(finished, in_training, cache):
    """The folder of a report on both runs, and its page."""
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
    return folder, (folder / "index.html").read_text()


def test_every_picture_is_in_the_page_and_beside_it(page):
    folder, text = page
    assert {path.stem for path in folder.glob("*.png")} == PICTURES
    inside = {
        base64.b64decode(each) for each in re.findall(r'src="data:image/\w+;base64,(.*?)"', text)
    }
    files = [*folder.glob("*.png"), *folder.glob("*.gif")]
    assert len(files) > len(PICTURES)
    assert inside == {path.read_bytes() for path in files}


def test_the_page_refers_to_nothing_outside(page):
    _, text = page
    assert not re.search(r'(?:src|href|url|action)\s*[=(]\s*["\']?(?!data:)[^"\'\s]', text)
    assert "http" not in text
    assert "<script" not in text
    assert "<link" not in text


def test_names_are_shown_as_they_are_and_never_as_html(page, in_training):
    _, text = page
    assert in_training.name not in text
    assert "&lt;script&gt;alert(&#x27;$1&#x27;)" in text


def test_figures_of_runs_are_side_by_side_and_missing_ones_told(page, finished):
    _, text = page
    accuracy = json.loads((finished / "result.json").read_text())["exact_accuracy"]
    row = re.search(r"exact accuracy</th><td>(.*?)</td><td>(.*?)</td>", text)
    assert row[1].startswith(f"{accuracy:.2%} (95% interval ")
    assert row[2] == "–"
    assert "Without a result" in text


def test_the_page_says_how_much_was_measured(page, finished):
    _, text = page
    assert f"15 of {finished.name}" in text
    assert f"Minibatches: 2 of {finished.name}" in text


def test_a_puzzle_given_as_text_is_animated(finished, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("CGAR_DATA_DIR", str(cache))
    trace = report.animate(finished, "1.3.34122.4.4321", tmp_path / "solving.gif")
    assert trace.answers.shape == (2 * 2, 16)
    assert (tmp_path / "solving.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"),
    [
        (lambda folder: shutil.rmtree(folder), [], "no run in"),
        (lambda folder: shutil.rmtree(folder / "checkpoints"), [], "no checkpoint in"),
        (lambda folder: None, ["--num_puzzles=0"], "must be 1 or more"),
        (lambda folder: None, ["--num_minibatches=1"], "must be 0, or 2 or more"),
    ],
    ids=["no run", "no checkpoint", "no puzzles", "one minibatch"],
)
def test_what_cannot_be_reported_is_one_sentence(spoil, arguments, said, finished, tmp_path, cache):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    spoil(folder)
    code, output = commands.run("report", f"--workdir={folder}", *arguments, cache=cache)
    assert code == 2
    assert said in output
    assert "Traceback" not in output


def test_the_same_run_twice_is_refused(finished, cache):
    workdir = f"--workdir={finished}"
    code, output = commands.run("report", workdir, f"{workdir}/../{finished.name}", cache=cache)
    assert code == 2
    assert "given twice" in output
