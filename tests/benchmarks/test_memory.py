"""Tests that the memory benchmark has a figure for every stage and number of microbatches."""

import re

from tests import running as commands
from tests.launch import scripts


def test_more_microbatches_need_less_memory():
    code, output = scripts.run_benchmark(
        "memory", *commands.TINY, "--config.batch_size=1024", "--microbatches=1,4"
    )
    assert code == 0, output
    rows = [line for line in output.splitlines() if "GB" in line]
    (shallow, deep), (shallow_in_parts, deep_in_parts) = (
        [float(size) for size in re.findall(r"([\d.]+) GB", row)] for row in rows
    )
    assert shallow_in_parts < shallow / 2
    assert deep_in_parts < deep / 2
