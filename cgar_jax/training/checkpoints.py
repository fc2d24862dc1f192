"""Checkpoints of a whole run under `checkpoints/<step>`, written by Orbax in the background.

Beside the state each holds the config it belongs to, the clock of the run, and a checksum: Orbax
notices a missing or truncated file, but reads a flipped bit as if it had been written so.
"""

import contextlib
import dataclasses
import json
import logging
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from cgar_jax.training import processes
from cgar_jax.training.state import TrainState

# How Orbax's folders end until they are finished.
HALF_WRITTEN = ".orbax-checkpoint-tmp"

# What may change between two starts of one run: where and how often, never what is computed.
FREE_KEYS = (
    "checkpoint",
    "evaluation",
    "mesh",
    "training.steps_per_dispatch",
    "training.microbatches",
    "data.cache_dir",
)


class CheckpointError(ValueError):
    """There are checkpoints, but the run cannot go on from them."""


@dataclasses.dataclass
class Clock:
    """Seconds and FLOPs a run has spent so far, over all its starts."""

    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    train_flops: float = 0.0  # model FLOPs, see `TrainStep.step_flops`
    data_seconds: float = 0.0  # of the training, in which the host waited for examples


@jax.jit
def checksum(state: Any) -> jax.Array:
    """An odd-weighted sum of all bits, uint32: one changed bit changes it.

    Integers add up in any order to the same number, so it does not depend on the mesh.
    """

    def of_leaf(leaf):
        if _is_key(leaf):
            leaf = jax.random.key_data(leaf)
        if leaf.dtype == bool:
            leaf = leaf.astype(jnp.uint8)
        bits = jax.lax.bitcast_convert_type(leaf, f"uint{8 * leaf.dtype.itemsize}").ravel()
        odd = 2 * jax.lax.iota(jnp.uint32, bits.size) + 1
        return jnp.sum(bits.astype(jnp.uint32) * odd, dtype=jnp.uint32)

    sums = [of_leaf(leaf) for leaf in jax.tree.leaves(state)]
    return sum((2 * index + 1) * part for index, part in enumerate(sums))


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """One line for each setting that differs, those of `FREE_KEYS` left out."""
    old, new = _flatten(saved), _flatten(current)
    return [
        f"{key}: {old.get(key, 'absent')!r} in the checkpoint, {new.get(key, 'absent')!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and not any(key == free or key.startswith(free + ".") for free in FREE_KEYS)
    ]


class Checkpoints:
    """The checkpoints of one run. Use as a context manager: leaving it waits for the last write."""

    def __init__(
        self, workdir: pathlib.Path, config: Mapping[str, Any], keep: int, read_only: bool = False
    ):
        """Opens `workdir/checkpoints`; keeps the newest `keep` of them.

        Unless `read_only`, it is made if need be, and what killed processes left half-written is
        removed.
        """
        # As JSON brings it back, so that tuples and lists compare equal.
        self._config = json.loads(json.dumps(config))
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
        self._read_only = read_only
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep,
            save_interval_steps=0 if read_only else 1,
            create=not read_only,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
        )
        with _without_warnings() if read_only else contextlib.nullcontext():
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_):
        # A process that lost the others would wait for them here.
        if kind is None or not issubclass(kind, jax.errors.JaxRuntimeError):
            self.wait()
            self._manager.close()

    @property
    def newest(self) -> pathlib.Path | None:
        """Folder of the newest finished checkpoint."""
        self.wait()
        step = self._manager.latest_step()
        return None if step is None else self.folder / str(step)

    def save(self, state: TrainState, step: int, clock: Clock) -> None:
        """Begins to write; returns as soon as the state is copied from the device.

        What cannot be written, now or in the background (`check`), is told in a warning and is no
        error: training goes on, and the next save tries again.
        """
        self.wait()
        if self._manager.latest_step() == step:
            return
        obstacle = self._obstacle(state)
        if not processes.all_agree(obstacle is None):
            self._warn(obstacle or "another process cannot write")
            return
        about = {
            "config": self._config,
            "clock": dataclasses.asdict(clock),
            "checksum": int(checksum(state)),
        }
        items = {"state": ocp.args.StandardSave(state), "about": ocp.args.JsonSave(about)}
        self._trying(lambda: self._manager.save(step, args=ocp.args.Composite(**items)))

    def check(self) -> None:
        """Warns if what is written in the background has failed; waits for nothing."""
        self._trying(self._manager.check_for_errors)

    def wait(self) -> None:
        """Waits until what has been begun is written, or warns that it could not be."""
        self._trying(self._manager.wait_until_finished)

    def _obstacle(self, state: TrainState) -> str | None:
        """What would keep a state from being written. Once begun, a write that fails is slow to."""
        arrays = [leaf for leaf in jax.tree.leaves(state) if not _is_key(leaf)]
        parts = sum(
            part.data.nbytes
            for leaf in arrays
            for part in leaf.addressable_shards
            if part.replica_id == 0  # the copies of other devices are not written
        )
        needed = parts + 2**20  # and what Orbax writes about them
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return _first_line(error)
        return None if free >= needed else f"{free / 1e6:.1f} MB of {needed / 1e6:.1f} MB are free"

    def _trying(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            self._warn(_first_line(error))
            self._remove_half_written()

    def _warn(self, problem: str) -> None:
        newest = self._manager.latest_step()
        logging.warning(
            "a checkpoint could not be written (%s); training goes on and the next save tries "
            "again; %s",
            problem,
            "there is none yet" if newest is None else f"{self.folder / str(newest)} is kept",
        )

    def _remove_half_written(self) -> None:
        # The room that it takes may be what is missing.
        if processes.is_first():
            for folder in self.folder.glob(f"*{HALF_WRITTEN}"):
                shutil.rmtree(folder, ignore_errors=True)

    def restore(self, like: TrainState) -> tuple[TrainState, Clock] | None:
        """The newest checkpoint that is whole, or None where there are none at all.

        A damaged one is reported, set aside as `damaged-<step>`, and the one before it is tried.

        Args:
          like: shapes, dtypes and shardings to restore to.

        Raises:
          CheckpointError: the config differs (each difference is named), or all are damaged.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            found, problem = None, "another process cannot read it"
            try:
                found = self._restore(step, like)
            except CheckpointError:
                raise
            except Exception as error:
                # Whatever Orbax stumbles over, the checkpoint before it may be whole.
                problem = _first_line(error)
            if processes.all_agree(found is not None):
                return found
            self._set_aside(step, problem)
        if steps:
            advice = "they are kept as damaged-<step>, start again to train from the beginning"
            if self._read_only:
                advice = "train the run again"
            raise CheckpointError(f"no checkpoint in {self.folder} is whole; {advice}")
        return None

    def _restore(self, step: int, like: TrainState) -> tuple[TrainState, Clock]:
        about = self._read(step, about=ocp.args.JsonRestore()).about
        self._refuse_other_config(step, about["config"])
        state = self._read(step, state=ocp.args.StandardRestore(like)).state
        if int(checksum(state)) != about["checksum"]:
            raise OSError("the numbers read are not those written (checksum)")
        return state, Clock(**about["clock"])

    def _read(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _refuse_other_config(self, step: int, saved: Mapping[str, Any]) -> None:
        if lines := differences(saved, self._config):
            raise CheckpointError(
                f"{self.folder / str(step)} belongs to another run:\n  "
                + "\n  ".join(lines)
                + "\nuse another --workdir, or the settings of the checkpoint"
            )

    def _set_aside(self, step: int, problem: str) -> None:
        folder = self.folder / str(step)
        if self._read_only:
            logging.warning("checkpoint %s is damaged (%s); trying another", folder, problem)
            return
        damaged = self.folder / f"damaged-{step}"
        with processes.first_goes_ahead():
            if processes.is_first():
                logging.warning(
                    "checkpoint %s is damaged (%s); it is kept as %s, the one before it is used",
                    folder,
                    problem,
                    damaged.name,
                )
                folder.rename(damaged)
        self._manager.reload()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Orbax warns that it will only read, which is what was asked for."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping):
        return {prefix.rstrip("."): config}
    flat = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.")
    return flat
