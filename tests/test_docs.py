"""The documentation is true: its code runs, its commands parse, and its pictures can be made."""

import ast
import contextlib
import importlib
import io
import pathlib
import re
import shlex
import sys

import ml_collections
import pytest
from absl import flags

from cgar_jax import contrib, curricula, losses, sampling, scores, trained_model, weighting
from cgar_jax import experiment as experiments
from cgar_jax.commands import cli, command_line, usage
from cgar_jax.config import data_config, default_config, set_elimination
from cgar_jax.training.state import averaged
from configs import sudoku_mini

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REGISTRIES = (
    *(losses.LOSSES, weighting.WEIGHTINGS, curricula.CURRICULA, sampling.SAMPLINGS),
    *(sampling.MIXERS, sampling.ORDERS, scores.SCORES),
    *(contrib.LOSSES, contrib.WEIGHTINGS, contrib.CURRICULA, contrib.SCORES),
)


def code_blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def with_blocks(language):
    found = [page for page in PAGES if code_blocks(page, language)]
    return pytest.mark.parametrize("page", found, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A shared model for the puzzles of `sudoku_mini`, untrained: only its answers are bad."""
    folder = tmp_path_factory.mktemp("model") / "sudoku_mini"
    task = experiments.Task(vocab_size=8, sequence_length=36, num_puzzle_identifiers=1)
    experiment = experiments.build(sudoku_mini.get_config(), task)
    params = averaged(experiment.initial_state())
    trained_model.save(folder, trained_model.TrainedModel(experiment, params), "")
    return folder


@pytest.fixture
def reader(model_folder, tmp_path, monkeypatch):
    """The working folder of a reader who has trained the first model."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sudoku_mini").symlink_to(model_folder)
    (tmp_path / "latest").symlink_to(model_folder)
    monkeypatch.setenv("CGAR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def run_and_check(block, names):
    """Runs a block; a comment behind `print(...)` is what it must print."""
    lines = block.splitlines()
    for node in ast.parse(block).body:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module([node], []), "<documentation>", "exec"), names)
        last = lines[node.end_lineno - 1]
        if last.startswith("print(") and "  # " in last:
            assert printed.getvalue().strip() == last.split("  # ")[1], last


@with_blocks("python")
def test_the_python_code_of_a_page_runs_and_prints_what_it_says(page, reader):
    names = {}
    for block in code_blocks(page, "python"):
        run_and_check(block, names)
    if "config" in names:
        experiments.build(names["config"], experiments.Task(11, 81, 1))


def commands_of(page):
    text = "\n".join(code_blocks(page, "sh")).replace("\\\n", " ")
    for line in text.splitlines():
        for part in re.split(r"&&|;", line):
            words = shlex.split(part, comments=True)
            if words and pathlib.Path(words[0]).name == "cgar":
                yield words[1:]


@contextlib.contextmanager
def own_flags():
    """Forgets the flags that are defined inside, as if this process had never parsed a command."""
    values = flags.FLAGS
    before = set(values)
    listed = values.flags_by_module_dict(), values.flags_by_module_id_dict()
    copies = [{module: list(found) for module, found in each.items()} for each in listed]
    try:
        yield
    finally:
        for name in set(values) - before:
            delattr(values, name)
        for each, copy in zip(listed, copies, strict=True):
            each.clear()
            each.update(copy)


@with_blocks("sh")
def test_the_commands_of_a_page_have_the_options_that_they_use(page, reader, monkeypatch):
    for name, *words in commands_of(page):
        assert name in cli.COMMANDS, name
        module = importlib.import_module(cli.COMMANDS[name])
        interface = usage.Interface.of(f"cgar {name}", module)
        monkeypatch.setattr(sys, "argv", [interface.name, *words])
        try:
            with own_flags():
                command_line.parse_command(interface, words)
        except SystemExit as error:
            pytest.fail(f"cgar {name} {shlex.join(words)} exits with {error.code}")


@with_blocks("sh")
def test_the_scripts_that_a_page_runs_exist(page):
    for script in re.findall(r"(?:benchmarks|launch|docs)/\w+\.(?:py|sh)", page.read_text()):
        assert (ROOT / script).is_file(), script


def test_every_page_links_to_files_that_exist():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", page.read_text()):
            target = "".join(link)
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_method_that_the_docs_name_is_public():
    public = {name for registry in REGISTRIES for name in registry}
    for room in (losses, weighting, curricula, sampling, scores, contrib):
        public |= set(room.__all__)
    suffixes = "loss|weighting|curriculum|sampling|mixer|order|score"
    named = set()
    for page in PAGES:
        if page.name != "extending.md":
            named |= set(re.findall(rf"`(?:\w+\.)*(\w+_(?:{suffixes}))`", page.read_text()))
    assert len(named) > 40
    assert named <= public, named - public


def settings_of(config, prefix=""):
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from settings_of(value, f"{prefix}{key}.")
        else:
            yield prefix + key, repr(value)


def test_the_page_of_settings_lists_every_key_with_its_default():
    page = (ROOT / "docs" / "settings.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z_0-9.]+)` \| `(.+?)` \|", page, re.MULTILINE))
    families = [settings_of(data_config(name), "data.") for name in ("arc", "maze")]
    elimination = default_config()
    set_elimination(elimination)
    expected = [*settings_of(elimination), *families[0], *families[1]]
    # A key that both have is listed with the value of the default config.
    assert listed == dict([*expected, *settings_of(default_config())])


def test_the_readme_counts_the_methods_right():
    (count,) = re.search(r"(\d+) losses, weightings, curricula", README.read_text()).groups()
    assert int(count) == sum(map(len, REGISTRIES))


def test_the_readme_is_at_most_150_lines():
    assert len(README.read_text().splitlines()) <= 150
