"""Every test runs on the CPU with eight simulated devices, unless it asks for fewer.

With JAX_PLATFORMS=cuda, tests run on the GPU instead; `docs/experiments/gpu.md` says which can.
"""

import os
import pathlib
import sys
import tempfile

from tests import running as commands

if os.environ.setdefault("JAX_PLATFORMS", "cpu") == "cpu":
    # Compilation takes nearly all the time of the tests, so programs are compiled fast.
    os.environ["XLA_FLAGS"] = " ".join(
        [
            os.environ.get("XLA_FLAGS", ""),
            "--xla_force_host_platform_device_count=8",
            commands.HASTY,
        ]
    )
# Many tests, and the commands that they start, compile the same programs.
if "PYTEST_XDIST_WORKER" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import hypothesis
import pytest

hypothesis.settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("default")

MAPS = pathlib.Path("/proc/self/maps")
MOST_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Forgets JAX's programs when there are many.

    Each of them has several memory maps, of which Linux allows a process 65,530 by default. Beyond
    that, a worker that has run thousands of tests would crash.
    """
    yield
    if "jax" in sys.modules and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The folder in which commands keep their tiny puzzles and compiled programs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, cache):
    """Workdir and output of a tiny, undisturbed run; tests must not change it."""
    workdir = tmp_path_factory.mktemp("finished")
    arguments = (*commands.TINY, f"--workdir={workdir}")
    code, output = commands.run("train", *arguments, cache=cache)
    assert code == 0, output
    return workdir, output
