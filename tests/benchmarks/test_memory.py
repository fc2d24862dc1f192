"""Tests that the memory benchmark has a figure for every number of microbatches."""

import re

from tests import running as commands
from tests.launch import scripts


def test_more_microbatches_need_less_memory():
    flags = [*commands.TINY_AND_SHALLOW, "--config.batch_size=1024", "--microbatches=1,4"]
    code, output = scripts.run_benchmark("memory", *flags)
    assert code == 0, output
    rows = [line for line in output.splitlines() if "GB" in line]
    whole, in_parts = (float(re.search(r"([\d.]+) GB", row)[1]) for row in rows)
    assert in_parts < whole / 2
