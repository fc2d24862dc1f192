"""Errors for optional dependencies that are not installed.

The base install has only what the reusable rooms need. The entry points to everything else (the
command line, `cgar_jax.load`) run inside `explain_missing`, so that the error for a missing library
includes the command that installs it.
"""

import contextlib
from collections.abc import Iterator

# The modules that each extra of pyproject.toml provides to this package.
EXTRAS = {
    "train": (
        "absl",
        "array_record",
        "flatbuffers",
        "grain",
        "huggingface_hub",
        "ml_collections",
        "orbax",
        "pyarrow",
        "rich",
        "safetensors",
        "tensorboardX",
        "tensorflow_datasets",
    ),
    "report": ("matplotlib", "PIL"),
    "demo": ("gradio",),
    "wandb": ("wandb",),
}


class MissingExtraError(ImportError):
    """An optional dependency is not installed."""


@contextlib.contextmanager
def explain_missing() -> Iterator[None]:
    """Turns the absence of an optional dependency into an error with the command to install it.

    Raises:
      MissingExtraError: if a module of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
        if extra is None:
            raise
        raise MissingExtraError(
            f"the package {module} is not installed; it is part of the extra [{extra}]: "
            f"pip install 'cgar_jax[{extra}]'"
        ) from error
