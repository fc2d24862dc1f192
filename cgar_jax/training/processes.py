"""The processes of one run: how they find each other, agree, and let the first one go ahead.

Each has its own devices and runs the same program on its part of every array. With one process, all
of this is nothing. The work is done by `jax.distributed`.
"""

import contextlib
import faulthandler
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

# A process that has said nothing for so long is gone, and the others end too.
SILENCE_SECONDS = 30
# How long one that has ended waits for the others to end.
FAREWELL_SECONDS = 20


def connect(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Connects this process to the others of its run; to be called before JAX is used.

    Without arguments they are found by what SLURM, a TPU pod, Kubernetes or Open MPI tells a
    process, or by `JAX_COORDINATOR_ADDRESS`; where nothing tells of others, this one is alone.

    Args:
      coordinator_address: `host:port` of the process 0, at which it listens.
      num_processes: of the run; with 1, nothing is looked for.
      process_id: of this one, from 0.

    Raises:
      ValueError: some of the arguments are given and others are not, or they make no sense.
      OSError: the others cannot be reached.
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
            f"--{', --'.join(given)} go together, but --{', --'.join(missing)} is missing"
        )
    try:
        # When another process dies, JAX says so and aborts; stacks of threads would bury it.
        faulthandler.disable()
        jax.distributed.initialize(
            **given,
            heartbeat_timeout_seconds=SILENCE_SECONDS,
            shutdown_timeout_seconds=FAREWELL_SECONDS,
        )
    except ValueError as error:
        if not missing or "coordinator_address" not in str(error):
            raise
    except jax.errors.JaxRuntimeError as error:
        raise OSError(f"cannot reach the other processes of the run: {error}") from error


def disconnect() -> None:
    """Waits until the other processes have ended too: else they take this end for a failure."""
    # What is done is done, also when the others are lost.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        jax.distributed.shutdown()


def several() -> bool:
    """Whether there are other processes; starts no device."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that writes logs and results."""
    return not several() or jax.process_index() == 0


def all_agree(yes: bool) -> bool:
    """Whether every process says yes; each must ask."""
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
    """The first process does what is inside, and then the others, which may find it done."""
    waits = several() and not is_first()
    if waits:
        multihost_utils.sync_global_devices("first_goes_ahead")
    try:
        yield
    finally:  # what failed for the first one, the others find out themselves
        if several() and not waits:
            multihost_utils.sync_global_devices("first_goes_ahead")


def preempted(dispatch: int) -> bool:
    """Whether one of several processes was sent SIGTERM; all are told so at the same dispatch.

    Args:
      dispatch: how many there were, counted alike in every process; to be asked at each.
    """
    return several() and multihost_utils.reached_preemption_sync_point(dispatch)
