"""What the README shows is what happens."""

import pathlib
import re

import pytest

from cgar_jax import contrib, curricula, experiment, losses, sampling, weighting
from cgar_jax.curricula import Depth

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def shown():
    """The names that the README's Python examples leave behind, but those marked py: these need
    a run."""
    names = {}
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(example, names)
    return names


def test_the_example_of_a_loop_of_ones_own_runs(shown):
    assert float(shown["loss"]) > 0
    assert float(shown["info"].mean) == pytest.approx(1)


def test_the_curriculum_in_the_example_is_what_its_comments_say(shown):
    curriculum = shown["curriculum"]
    assert curriculum(0.5) == Depth(n=4, T=2)
    assert curriculum.relative_cost(count="paper") == pytest.approx(24.6 / 42)
    assert curriculum.relative_cost(count="gradient_aware") == pytest.approx(22.7 / 35)


def test_the_config_in_the_example_builds(shown):
    task = experiment.Task(vocab_size=11, sequence_length=81, num_puzzle_identifiers=1)
    pieces = experiment.build(shown["config"], task)
    assert pieces.curriculum.full_depth == Depth(n=6, T=3)


def test_every_method_it_names_is_public():
    methods = {
        *losses.__all__,
        *weighting.__all__,
        *curricula.__all__,
        *sampling.__all__,
        *contrib.__all__,
    }
    suffixes = "_weighting|_loss|_curriculum|_mixer|_sampling|_order"
    named = set(re.findall(rf"`(\w+(?:{suffixes}))`", README))
    assert len(named) > 15
    assert named <= methods


def test_it_counts_the_methods_right():
    counts = re.search(r"There are (\d+) weightings, (\d+) losses", README).groups()
    rooms = (weighting.WEIGHTINGS | contrib.WEIGHTINGS, losses.LOSSES | contrib.LOSSES)
    assert tuple(map(int, counts)) == tuple(map(len, rooms))


def test_every_file_it_names_is_there():
    root = pathlib.Path(__file__).parent.parent
    for name in re.findall(
        r"(?:configs|launch)/\w+\.py|colabs/\w+\.ipynb|cgar_jax/[\w/]+(?:\.py)?", README
    ):
        assert (root / name).exists(), name
