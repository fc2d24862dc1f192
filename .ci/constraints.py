"""Prints constraints.txt: the versions of this environment that the package depends on.

    python .ci/constraints.py > constraints.txt

Run it in an environment in which the tests pass. It follows the dependencies of the extras below;
packages that are not installed are left out.
"""

import importlib.metadata
import platform
import re

from packaging.requirements import Requirement

EXTRAS = ("all", "test", "docs")


def closure(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Returns the installed packages that a package with these extras depends on."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    found = {name}
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        found |= closure(normalized(requirement.name), frozenset(requirement.extras), seen)
    return found


def normalized(name: str) -> str:
    """Returns the name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Prints the file."""
    names = closure("cgar-jax", frozenset(EXTRAS), set()) - {"cgar-jax"}
    print(f"# Versions that the tests passed with, on Python {platform.python_version()}.")
    print("#     pip install -e '.[train]' --constraint constraints.txt")
    print("# `python .ci/constraints.py` writes this file.")
    for name in sorted(names):
        version = importlib.metadata.version(name)
        print(f"{name}=={version.partition('+')[0]}")


if __name__ == "__main__":
    main()
