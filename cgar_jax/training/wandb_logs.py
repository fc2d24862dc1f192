"""Logging to Weights & Biases, in addition to the files of a run.

It needs the extra [wandb], and `cgar train CONFIG --wandb=PROJECT` chooses it. Only the first
process of a run uses it. Once training has started, errors of the service do not stop it.
"""

import hashlib
import logging
import pathlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from cgar_jax._core import extras


class WandbLogs:
    """The record of one run in a project of Weights & Biases.

    A resumed run continues its record, because the identifier of the record is derived from the
    workdir. The service ignores repeated steps.
    """

    def __init__(self, project: str, workdir: pathlib.Path, config: Mapping[str, Any]):
        """Starts or continues the record.

        Args:
          project: name of the project.
          workdir: folder of the run; its name is the name of the record.
          config: settings to show beside the record.

        Raises:
          MissingExtraError: if wandb is not installed.
        """
        with extras.explain_missing():
            import wandb  # needs the extra [wandb]
        workdir = workdir.resolve()
        self._run = wandb.init(
            project=project,
            name=workdir.name,
            id=hashlib.sha256(str(workdir).encode()).hexdigest()[:16],
            resume="allow",
            dir=str(workdir),
            config=dict(config),
        )

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Records numbers by name; after an error, nothing is recorded any more."""
        if self._run is None:
            return
        try:
            self._run.log(dict(scalars), step=step)
        except Exception as error:  # the errors of the service have no base class of their own
            logging.warning("Weights & Biases cannot be reached (%s); training continues", error)
            self._run = None

    def __enter__(self) -> Self:
        """Returns the record."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the record; after an exception it is marked as failed."""
        if self._run is not None:
            self._run.finish(exit_code=0 if error is None else 1)
