"""Checkpoints of a whole run in `checkpoints/<step>`, written by Orbax in the background.

Each checkpoint holds the train state, the config of the run, the fingerprint of its training data,
the time spent so far, and a checksum.
Orbax detects missing and truncated files; the checksum also detects flipped bits.
"""

import contextlib
import dataclasses
import json
import logging
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from cgar_jax.data import Fingerprint
from cgar_jax.training import processes
from cgar_jax.training.clock import Clock
from cgar_jax.training.state import TrainState

# The suffix of Orbax's folders while they are being written.
HALF_WRITTEN = ".orbax-checkpoint-tmp"

# Settings that may change when a run is resumed, because they do not change what is computed.
FREE_KEYS = (
    "checkpoint",
    "evaluation",
    "mesh",
    "training.steps_per_dispatch",
    "training.microbatches",
    "data.cache_dir",
)

# Settings that may change when a run goes on with changed data on purpose, and those among them
# that may not, because the model or the state of a weighting depends on them.
DATA_KEYS = ("data", "task.num_puzzle_identifiers")
FIXED_DATA_KEYS = ("data.name", "data.num_domains")


class Restored(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      state: the train state.
      clock: the time spent until then.
      trained_on: fingerprint of the training data; None if it was not recorded.
    """

    state: TrainState
    clock: Clock
    trained_on: Fingerprint | None


class CheckpointError(ValueError):
    """The run has checkpoints but cannot be resumed from them."""


@jax.jit
def checksum(state: Any) -> jax.Array:
    """Computes a sum of all bits with odd weights, uint32; any changed bit changes the sum.

    Integer sums do not depend on the order of addition, so the result does not depend on the mesh.
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


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, str]:
    """Returns one line by key for each setting that differs, except those in `FREE_KEYS`."""
    old, new = _flatten(saved), _flatten(current)
    return {
        key: f"{key}: {old.get(key, 'absent')!r} in the checkpoint, {new.get(key, 'absent')!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not _is_under(key, FREE_KEYS)
    }


def changes(before: Fingerprint | None, now: Fingerprint) -> list[str]:
    """Describes how training data have changed since a checkpoint, one line for each change."""
    if before is None:
        return ["the checkpoint does not record what it was trained on"]
    return before.changes(now)


def _is_under(key: str, groups: Iterable[str]) -> bool:
    return any(key == group or key.startswith(group + ".") for group in groups)


class Checkpoints:
    """The checkpoints of one run; a context manager that waits for the last write on exit."""

    def __init__(
        self,
        workdir: pathlib.Path,
        config: Mapping[str, Any],
        keep: int,
        read_only: bool = False,
        trained_on: Fingerprint | None = None,
    ):
        """Opens the folder `workdir/checkpoints`.

        Args:
          workdir: folder of the run.
          config: settings that are stored in each checkpoint and must match when it is restored.
          keep: number of checkpoints to keep; older ones are deleted.
          read_only: whether to leave the folder unchanged. If False, the folder is created if
            needed, and the unfinished checkpoints of killed processes are removed.
          trained_on: fingerprint of the training data, which is treated like `config`; None leaves
            training data unchecked.
        """
        # A round trip through JSON, so that tuples and lists compare equal.
        self._config = json.loads(json.dumps(config))
        self._trained_on = trained_on
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
        # A process that has lost the other ones would wait for them here forever.
        if kind is None or not issubclass(kind, jax.errors.JaxRuntimeError):
            self.wait()
            self._manager.close()

    @property
    def newest(self) -> pathlib.Path | None:
        """Folder of the newest finished checkpoint, or None."""
        self.wait()
        step = self._manager.latest_step()
        return None if step is None else self.folder / str(step)

    def save(self, state: TrainState, step: int, clock: Clock) -> None:
        """Starts to write a checkpoint, and returns once the state is copied from the device.

        A failed write, now or in the background (see `check`), logs a warning; training continues
        and the next save tries again.

        Args:
          state: train state.
          step: number of optimizer steps done.
          clock: time spent so far.
        """
        self.wait()
        if self._manager.latest_step() == step:
            return
        obstacle = self._obstacle(state)
        if not processes.all_agree(obstacle is None):
            self._warn(obstacle or "another process cannot write its part")
            return
        about = {
            "config": self._config,
            "trained_on": self._trained_on and self._trained_on.to_json(),
            "clock": dataclasses.asdict(clock),
            "checksum": int(checksum(state)),
        }
        items = {"state": ocp.args.StandardSave(state), "about": ocp.args.JsonSave(about)}
        self._trying(lambda: self._manager.save(step, args=ocp.args.Composite(**items)))

    def check(self) -> None:
        """Logs a warning if a write in the background has failed; does not wait."""
        self._trying(self._manager.check_for_errors)

    def wait(self) -> None:
        """Waits until the current write has finished; logs a warning if it has failed."""
        self._trying(self._manager.wait_until_finished)

    def _obstacle(self, state: TrainState) -> str | None:
        """Returns the obstacle to writing a state, or None; Orbax itself takes minutes to fail."""
        arrays = [leaf for leaf in jax.tree.leaves(state) if not _is_key(leaf)]
        parts = sum(
            part.data.nbytes
            for leaf in arrays
            for part in leaf.addressable_shards
            if part.replica_id == 0  # copies on other devices are not written
        )
        needed = parts + 2**20  # the extra megabyte is for Orbax's metadata
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return _first_line(error)
        if free >= needed:
            return None
        return f"{needed / 1e6:.1f} MB are needed, but only {free / 1e6:.1f} MB are free"

    def _trying(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            self._warn(_first_line(error))
            self._remove_half_written()

    def _warn(self, problem: str) -> None:
        newest = self._manager.latest_step()
        logging.warning(
            "a checkpoint could not be written (%s); training continues and the next save tries "
            "again; %s",
            problem,
            "no checkpoint exists yet"
            if newest is None
            else f"{self.folder / str(newest)} is kept",
        )

    def _remove_half_written(self) -> None:
        # An unfinished checkpoint may take the very space that is missing.
        if processes.is_first():
            for folder in self.folder.glob(f"*{HALF_WRITTEN}"):
                shutil.rmtree(folder, ignore_errors=True)

    def restore(self, like: TrainState, allow_changed_data: bool = False) -> Restored | None:
        """Restores the newest intact checkpoint; returns None if there are no checkpoints.

        A damaged checkpoint is reported and renamed to `damaged-<step>`, and the one before it is
        tried.

        Args:
          like: shapes, dtypes and shardings to restore to.
          allow_changed_data: whether the training data, and the settings in `DATA_KEYS`, may differ
            from those of the checkpoint. The puzzle table then has the rows of the checkpoint.

        Raises:
          CheckpointError: if the config or the training data differ (the message lists the
            differences), or all checkpoints are damaged.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            found, problem = None, "another process cannot read it"
            try:
                found = self._restore(step, like, allow_changed_data)
            except CheckpointError:
                raise
            except Exception as error:
                # Orbax raises many kinds of errors; the checkpoint before may still be intact.
                problem = _first_line(error)
            if processes.all_agree(found is not None):
                return found
            self._set_aside(step, problem)
        if steps:
            advice = (
                "they were renamed to damaged-<step>; run the same command again to train from the "
                "beginning"
            )
            if self._read_only:
                advice = "train the run again"
            raise CheckpointError(f"all checkpoints in {self.folder} are damaged; {advice}")
        return None

    def _restore(self, step: int, like: TrainState, allow_changed_data: bool) -> Restored:
        about = self._read(step, about=ocp.args.JsonRestore()).about
        text = about.get("trained_on")
        trained_on = Fingerprint.from_json(text) if text else None
        self._refuse_other_run(step, about["config"], trained_on, allow_changed_data)
        table = like.puzzle_table
        if allow_changed_data:
            rows = about["config"].get("task", {}).get("num_puzzle_identifiers", table.shape[0])
            shape = (rows, *table.shape[1:])
            table = jax.ShapeDtypeStruct(shape, table.dtype, sharding=table.sharding)
            like = like._replace(puzzle_table=table)
        state = self._read(step, state=ocp.args.StandardRestore(like)).state
        if int(checksum(state)) != about["checksum"]:
            raise OSError("its checksum does not match")
        return Restored(state, Clock(**about["clock"]), trained_on)

    def _read(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _refuse_other_run(
        self,
        step: int,
        config: Mapping[str, Any],
        trained_on: Fingerprint | None,
        allow_changed_data: bool,
    ) -> None:
        """Raises if a checkpoint was written with other settings or on other training data."""
        lines = differences(config, self._config)
        of_data = [
            line
            for key, line in lines.items()
            if _is_under(key, DATA_KEYS) and not _is_under(key, FIXED_DATA_KEYS)
        ]
        if self._trained_on is not None:
            of_data += changes(trained_on, self._trained_on)
        others = [line for line in lines.values() if line not in of_data]
        folder = self.folder / str(step)
        if others:
            raise CheckpointError(
                f"{folder} was written with other settings:\n  "
                + "\n  ".join(others + of_data)
                + "\nuse another --workdir, or the settings of the checkpoint"
            )
        if of_data and not allow_changed_data:
            raise CheckpointError(
                f"{folder} was written by training on other data:\n  "
                + "\n  ".join(of_data)
                + "\nuse another --workdir or the data of the checkpoint; --allow_changed_data "
                "continues on the data as they are now"
            )

    def _set_aside(self, step: int, problem: str) -> None:
        folder = self.folder / str(step)
        if self._read_only:
            logging.warning("checkpoint %s is damaged (%s); trying an older one", folder, problem)
            return
        damaged = self.folder / f"damaged-{step}"
        with processes.first_goes_ahead():
            if processes.is_first():
                logging.warning(
                    "checkpoint %s is damaged (%s); it is renamed to %s and an older one is used",
                    folder,
                    problem,
                    damaged.name,
                )
                folder.rename(damaged)
        self._manager.reload()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silences Orbax's warning about read-only access, which is intended here."""
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
