"""A map over all cores that gives what the serial map gives.

Worker processes are fresh interpreters fed through a pipe. Unlike those of ``multiprocessing``
they neither fork a process in which JAX runs threads, nor run the caller's script a second time,
so that a notebook, a pipe and a script without ``if __name__ == "__main__"`` may use it.
"""

import concurrent.futures
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

_MIN_ITEMS = 256  # per worker; starting one takes as long as some hundred puzzles


def parallel_map(
    function: Callable[[Any], Any], items: Sequence[Any], num_workers: int | None = None
) -> list[Any]:
    """Returns ``[function(item) for item in items]``, computed by several processes.

    Args:
      function: pure and picklable: a function of an importable module, or a ``partial`` of one.
      items: what to apply it to; picklable.
      num_workers: how many processes; by default as many as there are cores, or fewer if there
        is too little to do. With one, and where none can be started, everything runs here.

    Raises:
      Exception: what ``function`` raises.
    """
    if num_workers is None:
        num_workers = min(os.cpu_count() or 1, len(items) // _MIN_ITEMS)
    if num_workers <= 1:
        return [function(item) for item in items]
    jobs = [pickle.dumps((function, items[start::num_workers])) for start in range(num_workers)]
    with concurrent.futures.ThreadPoolExecutor(num_workers) as threads:
        try:
            answers = [pickle.loads(answer) for answer in threads.map(_run_worker, jobs)]
        except (OSError, subprocess.CalledProcessError) as error:
            logging.warning("no worker processes (%s); going on in this one", error)
            return [function(item) for item in items]
    results: list[Any] = [None] * len(items)
    for start, (values, error) in enumerate(answers):
        if error is not None:
            raise error
        results[start::num_workers] = values
    return results


def _run_worker(job: bytes) -> bytes:
    """Has a fresh interpreter with our import path answer one job."""
    return subprocess.run(
        [sys.executable, "-c", f"from {__name__} import _work; _work()"],
        input=job,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        check=True,
    ).stdout


def _work() -> None:
    """Is all that a worker does: read a job, write its results or its error."""
    function, items = pickle.load(sys.stdin.buffer)
    try:
        answer = [function(item) for item in items], None
    except Exception as error:
        answer = None, error
    pickle.dump(answer, sys.stdout.buffer)
