"""The cost of a run follows from the costs of its steps."""

import pytest

from cgar_jax.planning.costs import run_costs
from cgar_jax.planning.devices import DEVICES
from tests.planning.experiments import build

H100 = DEVICES["h100"]


def test_the_bottleneck_is_the_part_that_takes_longest():
    experiment = build(8, {"data": 8, "fsdp": 1})

    def bottleneck(**changes):
        return run_costs(experiment, H100._replace(**changes)).stages[-1].bottleneck

    assert bottleneck(float32_flops=1e9) == "compute"
    assert bottleneck(memory_bandwidth=1e6) == "memory traffic"
    assert bottleneck(link_bandwidth=1e3) == "communication"


def test_the_time_of_a_run_is_the_sum_of_its_steps():
    experiment = build(8, {"data": 8, "fsdp": 1})
    costs = run_costs(experiment, H100, num_train=40)
    first, second = costs.stages
    assert first.training_steps + second.training_steps == experiment.config.training.steps
    expected = sum(stage.training_steps * stage.step_seconds for stage in (first, second))
    assert costs.train_seconds == pytest.approx(expected)
    flops = sum(stage.training_steps * stage.model_flops for stage in costs.stages)
    assert flops == pytest.approx(experiment.planned_flops())


def test_devices_with_an_unknown_network_cannot_span_several_hosts():
    experiment = build(16, {"data": 16, "fsdp": 1})
    with pytest.raises(ValueError, match="use at most 8 devices"):
        run_costs(experiment, DEVICES["l4"])


@pytest.mark.parametrize("utilization", [0, 1.1, -0.4])
def test_utilization_must_be_greater_than_zero_and_at_most_one(utilization):
    with pytest.raises(ValueError, match="greater than 0 and at most 1"):
        run_costs(build(), H100, utilization)
