"""The parallel map: same results as the serial one, in other processes."""

import functools
import operator
import os
import pathlib
import subprocess
import sys
import time

import pytest

from cgar_jax.data.parallel import parallel_map

double = functools.partial(operator.mul, 2)
process_id = functools.partial(eval, "__import__('os').getpid()")  # items are its namespaces


@pytest.mark.parametrize("num_workers", [1, 3])
def test_results_are_in_the_order_of_the_items(num_workers):
    assert parallel_map(double, range(7), num_workers) == [0, 2, 4, 6, 8, 10, 12]


def test_workers_are_other_processes():
    process_ids = parallel_map(process_id, [{}, {}], num_workers=2)
    assert len({*process_ids, os.getpid()}) == 3


def test_few_items_are_handled_in_the_calling_process():
    assert parallel_map(process_id, [{}, {}]) == [os.getpid()] * 2


def test_an_error_in_a_worker_is_raised_to_the_caller():
    with pytest.raises(ZeroDivisionError):
        parallel_map(functools.partial(operator.floordiv, 1), [1, 0], num_workers=2)


def test_if_no_process_can_be_started_the_calling_process_works(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert parallel_map(process_id, [{}, {}], num_workers=2) == [os.getpid()] * 2


def test_a_script_without_a_main_guard_runs_once():
    script = (
        "from cgar_jax.data.parallel import parallel_map\n"
        "print(parallel_map(abs, [-1, -2], num_workers=2))\n"
    )
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[1, 2]\n", 0)


def test_workers_import_neither_jax_nor_tfds():
    script = (
        "import sys\n"
        "from cgar_jax import data\n"
        "from cgar_jax.config import data_config\n"
        "print([name for name in ('jax', 'tensorflow_datasets') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_workers_end_when_their_parent_is_killed(tmp_path):
    work = "import os, pathlib, time; pathlib.Path(str(os.getpid())).touch(); time.sleep(60)"
    script = (
        "import functools\n"
        "from cgar_jax.data.parallel import parallel_map\n"
        f"parallel_map(functools.partial(exec, {work!r}), [{{}}, {{}}], num_workers=2)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    parent.wait()
    workers = [int(file.name) for file in tmp_path.iterdir()]
    wait_until(lambda: not any(pathlib.Path(f"/proc/{worker}").exists() for worker in workers))


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
