"""Docstrings of the reusable rooms run as doctests and all follow one dialect."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

ROOMS = (
    "contrib",
    "curricula",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "sampling",
    "scores",
    "weighting",
)
SUFFIXES = {
    "CURRICULA": "_curriculum",
    "LOSSES": "_loss",
    "METRICS": "_metric",
    "MIXERS": "_mixer",
    "ORDERS": "_order",
    "SAMPLINGS": "_sampling",
    "SCORES": "_score",
    "WEIGHTINGS": "_weighting",
}
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Reference")


def room_module(room):
    return importlib.import_module(f"cgar_jax.{room}")


def module_names(rooms):
    """The names of all modules of some rooms."""
    for room in rooms:
        package = room_module(room)
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield module.name


def public_objects(rooms):
    """Pytest parameters: every public function and class of this project in some rooms."""
    for room in rooms:
        module = room_module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and getattr(value, "__module__", "").startswith("cgar_jax"):
                yield pytest.param(value, id=f"{room}.{name}")


def registries(room):
    """The registries of a room by name: dictionaries of functions and classes."""
    return {
        name: value
        for name, value in vars(room_module(room)).items()
        if name.isupper() and isinstance(value, dict) and all(map(callable, value.values()))
    }


def members(rooms):
    """Pytest parameters: every public object that a registry lists or that has a room's suffix."""
    listed = {id(f) for room in ROOMS for r in registries(room).values() for f in r.values()}
    for parameter in public_objects(rooms):
        (value,) = parameter.values
        if id(value) in listed or value.__name__.endswith(tuple(SUFFIXES.values())):
            yield parameter


def sections(value):
    """The sections of a docstring: their text by title; the part before the first is `""`."""
    found = {"": []}
    title = ""
    for line in (inspect.getdoc(value) or "").splitlines():
        heading = re.fullmatch(r"(\w[\w ]*):", line)
        if heading and (heading[1] in SECTIONS or heading[1] in ("Source", "Examples", "Note")):
            title = heading[1]
            found[title] = []
        else:
            found[title].append(line)
    return {title: "\n".join(lines) for title, lines in found.items()}


def documented(value):
    """Descriptions of the arguments and attributes of an object, by name."""
    text = "\n".join(sections(value).get(title, "") for title in ("Args", "Attributes"))
    return dict(re.findall(r"^  \*{0,2}(\w+): (.*)$", text, re.MULTILINE))


def fields(value):
    """The names that the docstring of an object must describe."""
    if not inspect.isclass(value):
        return list(inspect.signature(value).parameters)
    if issubclass(value, tuple) and hasattr(value, "_fields"):
        return list(value._fields)
    if dataclasses.is_dataclass(value):
        names = [
            field.name for field in dataclasses.fields(value) if not field.name.startswith("_")
        ]
        return [name for name in names if name not in ("parent", "name")]  # flax adds these
    return []


every_public_object = pytest.mark.parametrize("value", list(public_objects(ROOMS)))
every_member = pytest.mark.parametrize("value", list(members(ROOMS)))


class ToleratesRounding(doctest.OutputChecker):
    """Compares numbers only to the decimals that the expected output shows."""

    NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")

    def check_output(self, want, got, optionflags):
        """Returns whether the output agrees with the expected one."""
        if super().check_output(want, got, optionflags):
            return True
        wanted, found = self.NUMBER.findall(want), self.NUMBER.findall(got)
        if len(wanted) != len(found) or not all(map(self.agree, wanted, found)):
            return False
        return self.without_numbers(want) == self.without_numbers(got)

    def without_numbers(self, text):
        # The number of spaces in front of a bracket depends on the number of digits.
        return re.sub(r" (?=\])", "", " ".join(self.NUMBER.sub("#", text).split()))

    @staticmethod
    def agree(wanted, found):
        mantissa, _, exponent = wanted.partition("e")
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        return abs(float(wanted) - float(found)) <= 0.51 * unit


@pytest.mark.parametrize("name", list(module_names(("_core", *ROOMS))))
def test_examples_print_what_they_say(name):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(ToleratesRounding(), optionflags=flags)
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(test)
    assert runner.summarize().failed == 0


@pytest.mark.parametrize("room", ROOMS)
def test_the_docstring_of_a_room_opens_with_an_example(room):
    _, second, *_ = inspect.getdoc(room_module(room)).split("\n\n")
    assert second.lstrip().startswith(">>> ")


@every_public_object
def test_the_summary_is_one_sentence_on_one_line(value):
    summary, *rest = inspect.getdoc(value).splitlines()
    assert summary.endswith(".")
    assert not rest or not rest[0]
    assert not re.search(r"[.!?] [A-Z]", summary)


@pytest.mark.parametrize(
    "value", [p for p in public_objects(ROOMS) if not inspect.isclass(p.values[0])]
)
def test_the_summary_of_a_function_is_in_the_third_person(value):
    assert re.match(r"[A-Z][a-z-]*s\b", inspect.getdoc(value))


@every_public_object
def test_sections_have_the_agreed_titles_in_the_agreed_order(value):
    titles = [title for title in sections(value) if title]
    assert titles == [title for title in SECTIONS if title in titles]


@every_public_object
def test_code_stands_in_single_backticks(value):
    assert not re.search(r"(?<!`)``(?!`)", inspect.getdoc(value))


@every_public_object
def test_every_argument_is_described_by_a_noun_phrase(value):
    found = documented(value)
    assert set(fields(value)) <= set(found)
    assert not [text for text in found.values() if text.startswith(("of ", "if ", "the same"))]


@every_public_object
def test_what_a_function_returns_is_described(value):
    if not inspect.isclass(value) and inspect.signature(value).return_annotation is not None:
        assert {"Returns", "Yields"} & set(sections(value))


@every_member
def test_a_member_of_a_registry_has_an_example_and_a_reference(value):
    found = sections(value)
    assert "  >>> " in found["Example"]
    assert found["Reference"].strip()


@pytest.mark.parametrize("room", ROOMS)
def test_registered_names_end_with_the_suffix_of_their_room(room):
    for title, registry in registries(room).items():
        suffix = SUFFIXES.get(title, "")
        assert [name for name in registry if not name.endswith(suffix)] == []
        assert all(function.__name__ == name for name, function in registry.items())


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_function_with_a_registrys_suffix_is_registered(room):
    module = room_module(room)
    for title, registry in registries(room).items():
        if title in SUFFIXES:
            suffix = SUFFIXES[title]
            assert {name for name in module.__all__ if name.endswith(suffix)} == set(registry)
