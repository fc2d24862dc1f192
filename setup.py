"""Adds the files of `configs/` to the built package, so that `cgar train NAME` finds them.

In an editable install the command line reads them from the repository. Everything else about the
package is in pyproject.toml.
"""

import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies `configs/*.py` to `cgar_jax/configs`."""

    def run(self):
        """Builds the package."""
        super().run()
        if self.editable_mode:
            return
        folder = pathlib.Path(self.build_lib) / "cgar_jax" / "configs"
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(pathlib.Path("configs").glob("*.py")):
            shutil.copy(path, folder)


setup(cmdclass={"build_py": BuildWithConfigs})
