"""A map over all CPU cores with the same result as the serial map.

Worker processes are fresh interpreters fed through a pipe. Unlike those of `multiprocessing` they
neither fork a process in which JAX runs threads nor run the caller's script again, so notebooks,
pipes and scripts without `if __name__ == "__main__"` can use them.
"""

import concurrent.futures
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

_MIN_ITEMS = 256  # per worker: starting a worker takes as long as a few hundred puzzles


def parallel_map(
    function: Callable[[Any], Any], items: Sequence[Any], num_workers: int | None = None
) -> list[Any]:
    """Returns `[function(item) for item in items]`, computed by several processes.

    Args:
      function: pure function that can be pickled: a function of an importable module, a bound
        method of an object that can be pickled, or a `functools.partial` of one of these.
      items: picklable arguments.
      num_workers: number of processes; by default one per core, or fewer if there are few items.
        With one worker, or if no process can be started, the calling process does the work.

    Raises:
      Exception: the exception of `function`, if it raises one.
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
            logging.warning("could not start worker processes (%s); working in this one", error)
            return [function(item) for item in items]
    results: list[Any] = [None] * len(items)
    for start, (values, error) in enumerate(answers):
        if error is not None:
            raise error
        results[start::num_workers] = values
    return results


def _run_worker(job: bytes) -> bytes:
    """Returns the output of a job that runs in a fresh interpreter with this import path."""
    return subprocess.run(
        [sys.executable, "-c", f"from {__name__} import _work; _work()"],
        input=job,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        check=True,
    ).stdout


def _work() -> None:
    """The main function of a worker: reads a job and writes its results or its error."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    function, items = pickle.load(sys.stdin.buffer)
    try:
        answer = [function(item) for item in items], None
    except Exception as error:
        answer = None, error
    pickle.dump(answer, sys.stdout.buffer)


def _end_with_parent(parent: int) -> None:
    """Ends this worker once its parent has died, because nobody would read its results."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
