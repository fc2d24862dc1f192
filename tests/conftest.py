"""Every test runs on CPU with eight simulated devices; those that need fewer say so."""

import os
import tempfile

from tests import commands

os.environ["JAX_PLATFORMS"] = "cpu"
# Nearly all the time of the tests is compilation, so they compile in haste.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        commands.HASTY,
    ]
)

import hypothesis
import jax
import pytest

# Many tests compile the same program: workers inherit the first process's folder of them.
if "TESTS_COMPILED" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory()
    os.environ["TESTS_COMPILED"] = COMPILED.name
jax.config.update("jax_compilation_cache_dir", os.environ["TESTS_COMPILED"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

hypothesis.settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("default")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Where commands keep their tiny puzzles and compiled programs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, cache):
    """Workdir and output of a tiny run that nothing disturbed; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("finished")
    arguments = (*commands.TINY, f"--workdir={workdir}")
    code, output = commands.run("cgar_jax.train", *arguments, cache=cache)
    assert code == 0, output
    return workdir, output
