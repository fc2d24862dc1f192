"""Tests that the short benchmarks run and print their figures."""

import re

from tests import running as commands
from tests import untrained
from tests.launch import scripts


def benchmark(cache, name, *arguments):
    """Runs a benchmark and returns everything printed."""
    code, output = scripts.run_benchmark(name, *arguments, CGAR_DATA_DIR=str(cache))
    assert code == 0, output
    return output


def test_the_cost_of_a_checkpoint_is_related_to_the_interval_of_saves(cache):
    output = benchmark(cache, "checkpoint_cost", *commands.TINY, "--repeats=2")
    assert re.search(r"one checkpoint: [\d.]+ MB", output)
    assert re.search(r"holds up the loop for \d+ ms", output)
    assert re.search(r"with one every 10 steps, -?[\d.]+% of the training time", output)


def test_both_ways_to_feed_examples_are_timed(cache):
    output = benchmark(cache, "input_rate", *commands.TINY, "--repeats=1", "--dispatches=2")
    assert re.search(r"one thread prepares [\d,]+ examples/s", output)
    for name in ("on the devices", "streamed"):
        assert re.search(rf"{name}: [\d.]+ ms per step, [\d.]+% waiting for data", output)


def test_every_batch_size_has_a_rate_in_both_ways_of_solving(finished_run, cache):
    workdir, _ = finished_run
    options = ("--batch_sizes=1,4", "--num_puzzles=5", "--repeats=1")
    output = benchmark(cache, "solve_rate", f"--workdir={workdir}", *options)
    for size in (1, 4):
        assert re.search(rf"│ {size} +│ [\d,]+ \(.*\) +│ [\d,]+ \(.*\)", output)


def test_a_search_has_a_rate_of_puzzles_and_of_passes(tmp_path, cache):
    folder = untrained.save_candidate_model(tmp_path / "model")
    options = ("--batch_sizes=4", "--num_puzzles=5", "--repeats=1")
    output = benchmark(cache, "solve_rate", f"--workdir={folder}", *options)
    assert "puzzles/s" in output
    assert re.search(r"│ 4 +│ [\d,.]+ \(.*\) +│ [\d,.]+ \(.*\)", output)


def test_variants_of_the_search_are_compared_on_the_same_puzzles(tmp_path, cache):
    folder = untrained.save_candidate_model(tmp_path / "model")
    output = benchmark(
        cache, "search_variants", f"--workdir={folder}", "--variants=2,7", "--num_puzzles=4"
    )
    assert output.count("4 of 4") == 2
    assert "singles" in output


def test_attention_is_timed_beside_that_of_jax_at_both_lengths(cache):
    output = benchmark(cache, "attention_rate", "--batch_size=10", "--turns=1")
    assert "ours" in output
    assert "xla" in output
    for sizes in ("10 x 98", "1 x 916"):
        assert re.search(rf"│ {sizes} +│ [\d.]+ ms \(.*\) +│ [\d.]+ ms \(.*\)", output)
