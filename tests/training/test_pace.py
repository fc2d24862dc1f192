"""The pace of a run: sizes of dispatches and the time left, from measured dispatches."""

import pytest

from cgar_jax.curricula import Depth, PlateauDepths, Stage
from cgar_jax.training import pace
from cgar_jax.training.pace import Pace

SHALLOW, DEEP = Depth(1, 1), Depth(2, 2)
FLOPS = {SHALLOW: 10.0, DEEP: 40.0}
STAGES = [Stage(SHALLOW, 0, 1_000), Stage(DEEP, 1_000, 2_000)]


def measured(seconds_per_step, times=2, depth=SHALLOW):
    """A pace after several dispatches of one step each."""
    measured = Pace(STAGES, FLOPS.get)
    for _ in range(times):
        measured.measure(FLOPS[depth], seconds_per_step)
    return measured


def test_the_first_dispatch_has_one_step():
    assert Pace(STAGES, FLOPS.get).dispatch_size(SHALLOW, 50) == 1


def test_fast_steps_fill_the_largest_dispatch():
    assert measured(0.001).dispatch_size(SHALLOW, 50) == 50


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
def test_dispatches_of_slow_steps_take_at_most_the_target(seconds):
    size = measured(seconds).dispatch_size(SHALLOW, 50)
    assert 1 <= size <= pace.TARGET_SECONDS / seconds


def test_a_step_longer_than_the_target_is_dispatched_alone():
    assert measured(60.0).dispatch_size(SHALLOW, 50) == 1


def test_dispatches_divide_a_span_about_evenly():
    slow, left, sizes = measured(0.1), 50, []
    while left:
        sizes.append(slow.dispatch_size(SHALLOW, left))
        left -= sizes[-1]
    assert sizes == [25, 25]


def test_a_deeper_stage_has_smaller_dispatches_before_it_is_measured():
    assert measured(0.2).dispatch_size(DEEP, 50) <= pace.TARGET_SECONDS / (4 * 0.2)


def test_the_deepest_depth_of_a_stage_limits_its_dispatches():
    depths = PlateauDepths((SHALLOW, DEEP), latest=0.9, window=0.1, patience=1, improvement=0.1)
    assert measured(0.2).dispatch_size(depths, 50) == measured(0.2).dispatch_size(DEEP, 50)


def test_a_single_slow_dispatch_changes_nothing():
    steady = measured(0.2, times=5)
    before = steady.dispatch_size(SHALLOW, 50)
    steady.measure(FLOPS[SHALLOW], 1_000.0)
    assert steady.dispatch_size(SHALLOW, 50) == before


def test_only_short_dispatches_are_brief():
    assert measured(0.001).is_brief(SHALLOW, 50)
    assert not measured(0.1).is_brief(SHALLOW, 50)
    assert not Pace(STAGES, FLOPS.get).is_brief(SHALLOW, 1)


def test_the_time_left_counts_each_stage_by_its_flops():
    assert measured(2.0).seconds_left(500) == pytest.approx(500 * 2.0 + 1_000 * 8.0)
    assert measured(2.0).seconds_left(2_000) == 0


def test_one_off_costs_of_the_first_dispatch_do_not_count():
    slow_start = measured(3.0, times=1)
    assert slow_start.seconds_left(0) is None
    slow_start.measure(FLOPS[SHALLOW], 0.01)
    assert slow_start.seconds_left(0) == pytest.approx(1_000 * 0.01 + 1_000 * 0.04)


def test_the_time_left_is_known_after_one_long_step():
    assert measured(100.0, times=1).seconds_left(0) == pytest.approx(500_000)
