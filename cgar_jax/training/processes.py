"""Coordination of the processes of one run, on top of `jax.distributed`.

Each process has its own devices and runs the same program on its part of every array. In a run of a
single process, all functions return at once.
"""

import contextlib
import faulthandler
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

# A process without a heartbeat for this long counts as dead, and the others end too.
HEARTBEAT_TIMEOUT_SECONDS = 30
# A process that has finished waits this long for the others.
SHUTDOWN_TIMEOUT_SECONDS = 20


def connect(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Connects this process to the other ones of its run; must be called before JAX is used.

    Without arguments, the other processes are found through SLURM, a TPU pod, Kubernetes, Open MPI
    or `JAX_COORDINATOR_ADDRESS`. If none of them is present, this is the only process.

    Args:
      coordinator_address: `host:port` at which process 0 listens.
      num_processes: number of processes; 1 does not search for other ones.
      process_id: index of this process, from 0.

    Raises:
      ValueError: if only some of the arguments are given, or they are invalid.
      OSError: if the other processes cannot be reached.
    """
    if num_processes == 1:
        return
    given = {
        "coordinator_address": coordinator_address,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        raise ValueError(
            f"--{', --'.join(given)} must be given together, but --{', --'.join(missing)} is "
            "missing"
        )
    try:
        # When another process dies, JAX logs that and aborts; stack traces would hide the message.
        faulthandler.disable()
        jax.distributed.initialize(
            **given,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_TIMEOUT_SECONDS,
        )
    except ValueError as error:
        if not missing or "coordinator_address" not in str(error):
            raise
    except jax.errors.JaxRuntimeError as error:
        raise OSError(f"cannot reach the other processes of the run: {error}") from error


def disconnect() -> None:
    """Waits for the other processes to finish, because an earlier exit looks like a crash."""
    # The work of this process is done, even if the other ones are lost.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        jax.distributed.shutdown()


def several() -> bool:
    """Returns whether the run has several processes; does not initialize any device."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Returns whether this process is the first one, which writes logs and results."""
    return not several() or jax.process_index() == 0


def all_agree(yes: bool) -> bool:
    """Returns whether `yes` is true in every process; every process must call this function."""
    if not several():
        return yes
    return bool(np.all(multihost_utils.process_allgather(np.asarray(yes))))


def from_first(number: float) -> float:
    """Returns the number of the first process in every process, rounded to float32 among several.

    Every process must call this function, and each of them waits for its devices.
    """
    if not several():
        return number
    return float(multihost_utils.broadcast_one_to_all(np.float32(number)))


@contextlib.contextmanager
def first_goes_ahead() -> Iterator[None]:
    """Runs the block in the first process, and then in the others, which may reuse its results."""
    waits = several() and not is_first()
    if waits:
        multihost_utils.sync_global_devices("first_goes_ahead")
    try:
        yield
    finally:  # if the block fails in the first process, it also fails in the others
        if several() and not waits:
            multihost_utils.sync_global_devices("first_goes_ahead")


def preempted(dispatch: int) -> bool:
    """Returns whether one of several processes has received SIGTERM.

    The answer is the same in every process. Every process must call this function at each dispatch.

    Args:
      dispatch: index of the dispatch.
    """
    return several() and multihost_utils.reached_preemption_sync_point(dispatch)
