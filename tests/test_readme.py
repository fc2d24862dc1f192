"""What the README shows is what happens."""

import pathlib
import re

import pytest

from cgar_jax.curricula import Depth

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def shown():
    """The names that the README's Python example leaves behind."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(example, names)
    return names


def test_the_example_of_a_loop_of_ones_own_runs(shown):
    assert float(shown["loss"]) > 0
    assert float(shown["weights"].mean) == pytest.approx(1)


def test_the_curriculum_in_the_example_is_what_its_comments_say(shown):
    curriculum = shown["curriculum"]
    assert curriculum(0.5) == Depth(n=4, T=2)
    assert curriculum.relative_cost(count="paper") == pytest.approx(24.6 / 42)
    assert curriculum.relative_cost(count="gradient_aware") == pytest.approx(22.7 / 35)


def test_every_file_it_names_is_there():
    root = pathlib.Path(__file__).parent.parent
    for name in re.findall(r"configs/\w+\.py|cgar_jax/[\w/]+(?:\.py)?", README):
        assert (root / name).exists(), name
