"""Tests the benchmark of the time to a target accuracy, and the ways to train that it compares."""

import json

import pytest

from cgar_jax import experiment
from cgar_jax.config import default_config
from tests import running as commands
from tests.launch import scripts

NEVER = "1.0"
WAYS_TO_TRAIN = scripts.module("benchmarks/ways_to_train.py")


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """A function that runs the benchmark on a tiny config, its records, and everything printed."""
    folder = tmp_path_factory.mktemp("times")
    file = folder / "times.jsonl"

    def run(*flags):
        code, output = scripts.run_benchmark(
            "time_to_target",
            *commands.TINY,
            f"--output={file}",
            f"--targets=0,{NEVER}",
            "--evaluate_every=20",
            *flags,
            CGAR_DATA_DIR=str(folder),
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


def test_every_way_may_spend_the_same_flops(times):
    _, (cgar, trm), _ = times
    each = [record["reached"]["0.0"]["flops"] / 20 for record in (cgar, trm)]
    spent_by_cgar = 20 * each[0] + 20 * each[1]  # half of its 40 steps have full depth
    assert cgar["steps"] == 40
    assert trm["steps"] == round(spent_by_cgar / each[1])


def test_a_curriculum_reaches_the_same_step_with_fewer_flops(times):
    _, (cgar, trm), _ = times
    # After half of the steps, the forward calls of the network are 3 x 2 against (1 + 3) x 3; the
    # heads come on top.
    assert 0.4 < cgar["reached"]["0.0"]["flops"] / trm["reached"]["0.0"]["flops"] < 0.6


def test_the_table_shows_which_targets_were_never_reached(times):
    _, _, output = times
    rows = [line for line in output.splitlines() if "100%" in line]
    assert len(rows) == 2
    assert all("0 of 1" in row and "- " in row for row in rows)


def test_the_same_command_continues_with_the_missing_runs(times):
    run, records, _ = times
    code, more, output = run("--ways=cgar,hsw", "--seeds=1")
    assert code == 0, output
    assert more[:2] == records
    assert [record["way"] for record in more] == ["cgar", "trm", "hsw"]


def test_an_unknown_way_is_an_error_that_lists_the_ways(times):
    run, _, _ = times
    code, _, output = run("--ways=cgra")
    assert code == 2
    assert "unknown way 'cgra' in 'cgra'; choose from: trm; pdc" in output


@pytest.mark.parametrize("way", WAYS_TO_TRAIN.WAYS | WAYS_TO_TRAIN.PUBLISHED)
def test_a_way_does_not_modify_the_config_it_starts_from(way):
    config = default_config()
    WAYS_TO_TRAIN.changed(config, way)
    assert config == default_config()


def test_settings_can_follow_the_name_of_a_way():
    way = (
        "pdc plateau model.mlp=normalized optimizer.learning_rate=2e-2 supervision.criterion=never"
    )
    config = WAYS_TO_TRAIN.changed(default_config(), way)
    assert config.curriculum.name == "plateau_depth_curriculum"
    assert config.model.mlp == "normalized"
    assert config.optimizer.learning_rate == 0.02
    assert config.supervision.criterion == "never"


@pytest.mark.parametrize("way", WAYS_TO_TRAIN.PUBLISHED)
def test_a_published_model_can_be_built(way):
    config = WAYS_TO_TRAIN.changed(default_config(), way)
    task = experiment.Task(vocab_size=11, sequence_length=81, num_puzzle_identifiers=1)
    assert experiment.build(config, task).planned_flops() > 0


@pytest.mark.parametrize("way", WAYS_TO_TRAIN.WAYS)
def test_no_way_costs_more_than_the_full_depth_of_the_config(way):
    config = default_config()
    config.curriculum.stages = ((1, 1), (2, 1), (3, 2))
    task = experiment.Task(vocab_size=7, sequence_length=81, num_puzzle_identifiers=1)
    full = experiment.build(WAYS_TO_TRAIN.changed(config, "trm"), task).planned_flops()
    of_way = experiment.build(WAYS_TO_TRAIN.changed(config, way), task).planned_flops()
    assert of_way <= full * (
        2 if way == "exits" else 1
    )  # "exits" has a gradient through all cycles
