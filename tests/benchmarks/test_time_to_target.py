"""Time to a target: each way to train is timed with each seed, once."""

import json

import pytest

from cgar_jax import experiment
from cgar_jax.config import default_config
from tests import running as commands
from tests.launch import scripts

NEVER = "1.0"
TIME_TO_TARGET = scripts.module("benchmarks/time_to_target.py")


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """A function that runs the command on a tiny config: its records and what it printed."""
    folder = tmp_path_factory.mktemp("times")
    file = folder / "times.jsonl"

    def run(*flags):
        code, output = scripts.run(
            "benchmarks/time_to_target.py",
            *commands.TINY,
            f"--output={file}",
            f"--targets=0,{NEVER}",
            "--evaluate_every=20",
            *flags,
            CGAR_DATA_DIR=str(folder),
            XLA_FLAGS=commands.HASTY,
        )
        return code, [json.loads(line) for line in file.read_text().splitlines()], output

    code, records, output = run("--ways=cgar,trm", "--seeds=1")
    assert code == 0, output
    return run, records, output


def test_a_target_counts_from_the_first_evaluation_that_reaches_it(times):
    _, records, _ = times
    for record in records:
        assert record["curve"][0][0] == record["reached"]["0.0"]["step"] == 20
        assert record["reached"]["0.0"]["seconds"] > 0
        assert NEVER not in record["reached"]
        assert [step for step, _ in record["curve"]] == [20, record["steps"]]


def test_every_way_has_the_same_flops_to_spend(times):
    _, (cgar, trm), _ = times
    each = [record["reached"]["0.0"]["flops"] / 20 for record in (cgar, trm)]
    spent_by_cgar = 20 * each[0] + 20 * each[1]  # half of its 40 steps are of full depth
    assert cgar["steps"] == 40
    assert trm["steps"] == round(spent_by_cgar / each[1])


def test_a_curriculum_reaches_the_same_step_with_fewer_flops(times):
    _, (cgar, trm), _ = times
    # Forward calls of the network, half of all steps: 3 x 2 against (1 + 3) x 3; and the heads.
    assert 0.4 < cgar["reached"]["0.0"]["flops"] / trm["reached"]["0.0"]["flops"] < 0.6


def test_the_table_says_what_was_reached_and_what_was_not(times):
    _, _, output = times
    rows = [line for line in output.splitlines() if "100%" in line]
    assert len(rows) == 2
    assert all("0 of 1" in row and "- " in row for row in rows)


def test_the_same_command_goes_on_with_the_runs_that_are_missing(times):
    run, records, _ = times
    code, more, output = run("--ways=cgar,hsw", "--seeds=1")
    assert code == 0, output
    assert more[:2] == records
    assert [record["way"] for record in more] == ["cgar", "trm", "hsw"]


def test_an_unknown_way_is_named_with_those_that_there_are(times):
    run, _, _ = times
    code, _, output = run("--ways=cgra")
    assert code == 2
    assert "unknown ways ['cgra']; there are: trm; pdc" in output


@pytest.mark.parametrize("way", TIME_TO_TARGET.WAYS)
def test_a_way_leaves_the_config_to_the_next_one_as_it_was(way):
    config = default_config()
    TIME_TO_TARGET.changed(config, way)
    assert config == default_config()


@pytest.mark.parametrize("way", TIME_TO_TARGET.WAYS)
def test_no_way_is_deeper_than_the_config(way):
    config = default_config()
    config.curriculum.stages = ((1, 1), (2, 1), (3, 2))
    task = experiment.Task(vocab_size=7, sequence_length=81, num_puzzle_identifiers=1)
    full = experiment.build(TIME_TO_TARGET.changed(config, "trm"), task).planned_flops()
    of_way = experiment.build(TIME_TO_TARGET.changed(config, way), task).planned_flops()
    assert of_way <= full * (2 if way == "exits" else 1)  # with a gradient through all cycles
