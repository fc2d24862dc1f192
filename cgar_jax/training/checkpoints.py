"""Checkpoints of a whole run under `checkpoints/<step>`, written by Orbax in the background.

Beside the state each holds the config it belongs to, the clock of the run, and a checksum: Orbax
notices a missing or truncated file, but reads a flipped bit as if it had been written so.
"""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from cgar_jax.training.state import TrainState

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
    """Seconds a run has spent so far, over all its starts."""

    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    data_seconds: float = 0.0  # of the training, in which the host waited for examples


@jax.jit
def checksum(state: Any) -> jax.Array:
    """An odd-weighted sum of all bits, uint32: one changed bit changes it.

    Integers add up in any order to the same number, so it does not depend on the mesh.
    """

    def of_leaf(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
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

    def __init__(self, workdir: pathlib.Path, config: Mapping[str, Any], keep: int):
        """Opens `workdir/checkpoints`, making it if need be; keeps the newest `keep` of them."""
        # As JSON brings it back, so that tuples and lists compare equal.
        self._config = json.loads(json.dumps(config))
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_):
        self._manager.close()

    @property
    def newest(self) -> pathlib.Path | None:
        """Folder of the newest finished checkpoint."""
        self._manager.wait_until_finished()
        step = self._manager.latest_step()
        return None if step is None else self.folder / str(step)

    def save(self, state: TrainState, step: int, clock: Clock) -> None:
        """Begins to write; returns as soon as the state is copied from the device."""
        if self._manager.latest_step() == step:
            return
        about = {
            "config": self._config,
            "clock": dataclasses.asdict(clock),
            "checksum": int(checksum(state)),
        }
        items = {"state": ocp.args.StandardSave(state), "about": ocp.args.JsonSave(about)}
        self._manager.save(step, args=ocp.args.Composite(**items))

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
            try:
                about = self._read(step, about=ocp.args.JsonRestore()).about
                self._refuse_other_config(step, about["config"])
                state = self._read(step, state=ocp.args.StandardRestore(like)).state
                if int(checksum(state)) != about["checksum"]:
                    raise OSError("the numbers read are not those written (checksum)")
                return state, Clock(**about["clock"])
            except CheckpointError:
                raise
            except Exception as error:
                # Whatever Orbax stumbles over, the checkpoint before it may be whole.
                self._set_aside(step, error)
        if steps:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole; they are kept as damaged-<step>, "
                "start again to train from the beginning"
            )
        return None

    def _read(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _refuse_other_config(self, step: int, saved: Mapping[str, Any]) -> None:
        if lines := differences(saved, self._config):
            raise CheckpointError(
                f"{self.folder / str(step)} belongs to another run:\n  "
                + "\n  ".join(lines)
                + "\nuse another --workdir, or the settings of the checkpoint"
            )

    def _set_aside(self, step: int, error: Exception) -> None:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        damaged = self.folder / f"damaged-{step}"
        logging.warning(
            "checkpoint %s is damaged (%s); it is kept as %s, the one before it is used",
            self.folder / str(step),
            first_line[:200],
            damaged.name,
        )
        if jax.process_index() == 0:
            (self.folder / str(step)).rename(damaged)
        self._manager.reload()


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping):
        return {prefix.rstrip("."): config}
    flat = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.")
    return flat
