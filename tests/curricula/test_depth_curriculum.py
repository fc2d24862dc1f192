import functools

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax import curricula
from cgar_jax.curricula import Depth

progress = st.floats(0, 1)


@st.composite
def depth_curricula(draw):
    boundaries = sorted(draw(st.sets(st.integers(1, 99), max_size=4)))
    sizes = st.tuples(st.integers(1, 8), st.integers(1, 4))
    stages = draw(st.lists(sizes, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    return curricula.progressive_depth_curriculum(stages, [b / 100 for b in boundaries])


@pytest.mark.parametrize(
    ("depth", "network_calls", "gradient_aware_cost"),
    [(Depth(2, 1), 3, 9), (Depth(4, 2), 10, 20), (Depth(6, 3), 21, 35)],
)
def test_costs_of_the_published_depths(depth, network_calls, gradient_aware_cost):
    assert depth.network_calls == network_calls
    assert depth.gradient_aware_cost == gradient_aware_cost


def test_depth_is_a_static_argument_of_jit_compiled_once_for_each_value():
    traced = []

    @functools.partial(jax.jit, static_argnames="depth")
    def calls(x, depth):
        traced.append(depth)
        return x * depth.network_calls

    assert calls(jnp.float32(2), depth=Depth(2, 1)) == 6
    assert calls(jnp.float32(3), depth=Depth(2, 1)) == 9
    assert calls(jnp.float32(2), depth=Depth(6, 3)) == 42
    assert traced == [Depth(2, 1), Depth(6, 3)]


def test_depth_reads_as_a_pair():
    assert str(Depth(6, 3)) == "(6, 3)"


@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (-2, 3), (2.0, 1), (2, True), ("6", 3)])
def test_depth_refuses_what_is_not_two_positive_ints(pair):
    with pytest.raises(ValueError, match="must be a positive int"):
        Depth(*pair)


@pytest.mark.parametrize(
    ("progress", "depth"),
    [(0, (2, 1)), (0.2999, (2, 1)), (0.3, (4, 2)), (0.59, (4, 2)), (0.6, (6, 3)), (1, (6, 3))],
)
def test_published_curriculum_has_the_published_depths(progress, depth):
    assert curricula.progressive_depth_curriculum()(progress) == Depth(*depth)


def test_paper_count_of_the_published_curriculum_is_24_6_of_42():
    cost = curricula.progressive_depth_curriculum().relative_cost("paper")
    assert cost == pytest.approx(24.6 / 42)


def test_gradient_aware_count_of_the_published_curriculum_is_22_7_of_35():
    cost = curricula.progressive_depth_curriculum().relative_cost("gradient_aware")
    assert cost == pytest.approx(22.7 / 35)


@given(depth_curricula(), progress, progress)
def test_the_stage_never_goes_back(curriculum, a, b):
    assert curriculum.stage_index(min(a, b)) <= curriculum.stage_index(max(a, b))


@given(depth_curricula())
def test_training_ends_in_the_last_stage(curriculum):
    assert curriculum(1.0) == curriculum.stages[-1]


@given(progress)
def test_fixed_depth_is_the_same_throughout(progress):
    curriculum = curricula.fixed_depth_curriculum((4, 2))
    assert curriculum(progress) == Depth(4, 2)
    assert curriculum.relative_cost("paper") == 1
    assert curriculum.relative_cost("gradient_aware") == 1


@given(depth_curricula(), st.integers(1, 400))
def test_the_schedule_gives_every_step_the_depth_of_its_progress(curriculum, total_steps):
    stages = curriculum.schedule(total_steps)
    scheduled = [stage.depth for stage in stages for _ in range(stage.first_step, stage.end_step)]
    assert scheduled == [curriculum(step / total_steps) for step in range(total_steps)]


@given(depth_curricula(), st.integers(1, 10**7))
def test_the_stages_of_a_schedule_are_not_empty_and_cover_the_run(curriculum, total_steps):
    stages = curriculum.schedule(total_steps)
    assert all(stage.first_step < stage.end_step for stage in stages)
    assert [stage.first_step for stage in stages[1:]] == [stage.end_step for stage in stages[:-1]]
    assert (stages[0].first_step, stages[-1].end_step) == (0, total_steps)


# In float64, (0.1 + 0.2) * 10 is more than 3 and 0.07 * 100 more than 7.
@pytest.mark.parametrize(
    ("boundary", "total_steps", "first_step"),
    [
        (0.3, 10, 3),
        (0.1 + 0.2, 10, 3),
        (1 - 0.9, 10, 1),
        (0.07, 100, 7),
        (0.3, 11, 4),
        (1 / 3, 3, 1),
    ],
)
def test_a_boundary_is_rounded_up_to_a_step_but_not_by_float_error(
    boundary, total_steps, first_step
):
    curriculum = curricula.progressive_depth_curriculum([(1, 1), (2, 1)], [boundary])
    assert curriculum.schedule(total_steps)[1].first_step == first_step


def test_a_boundary_is_reached_at_its_step_in_spite_of_float_error():
    curriculum = curricula.progressive_depth_curriculum([(1, 1), (2, 1)], [0.1 + 0.2])
    assert curriculum(3 / 10) == Depth(2, 1)


def test_curricula_are_hashable_and_equal_by_value():
    published = curricula.progressive_depth_curriculum()
    same = curricula.progressive_depth_curriculum([Depth(2, 1), (4, 2), [6, 3]], [0.3, 0.6])
    assert {published: "found"}[same] == "found"


@pytest.mark.parametrize("progress", [-0.01, 1.01, float("nan")])
def test_progress_outside_the_unit_interval_is_refused(progress):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        curricula.progressive_depth_curriculum()(progress)


@pytest.mark.parametrize("boundaries", [(0.6, 0.3), (0.3, 0.3), (-0.1, 0.3), (0.3, 2)])
def test_boundaries_must_increase_strictly_within_the_unit_interval(boundaries):
    with pytest.raises(ValueError, match="must increase strictly"):
        curricula.progressive_depth_curriculum(boundaries=boundaries)


def test_a_stage_without_a_step_is_left_out():
    curriculum = curricula.progressive_depth_curriculum(boundaries=(0, 1))
    assert curriculum.schedule(10) == [(curricula.Depth(4, 2), 0, 10)]


@pytest.mark.parametrize("boundaries", [(), (0.3,), (0.3, 0.6, 0.9)])
def test_there_is_one_stage_more_than_boundaries(boundaries):
    with pytest.raises(ValueError, match="one stage more than boundaries"):
        curricula.progressive_depth_curriculum(boundaries=boundaries)


def test_a_run_without_steps_has_no_schedule():
    with pytest.raises(ValueError, match="total_steps is 0"):
        curricula.fixed_depth_curriculum().schedule(0)


def test_an_unknown_count_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'gradient_aware'"):
        curricula.fixed_depth_curriculum().relative_cost("gradient-aware")


def test_build_makes_the_curriculum_that_a_config_names():
    built = curricula.build("progressive_depth_curriculum", boundaries=(0.2, 0.4))
    assert built == curricula.progressive_depth_curriculum(boundaries=(0.2, 0.4))


def test_build_names_the_nearest_curriculum():
    with pytest.raises(ValueError, match="did you mean 'fixed_depth_curriculum'"):
        curricula.build("fixed_depth")


def test_build_names_the_nearest_setting():
    with pytest.raises(ValueError, match="'boundary'; did you mean 'boundaries'"):
        curricula.build("progressive_depth_curriculum", boundary=(0.3, 0.6))


def test_exits_are_by_default_the_last_cycle_alone():
    assert Depth(6, 3) == Depth(6, 3, exits=(3,))


def test_the_segments_of_a_depth_run_from_exit_to_exit():
    assert Depth(6, 5, exits=(1, 4, 5)).segments == (Depth(6, 1), Depth(6, 3), Depth(6, 1))


def test_each_exit_more_costs_the_backward_pass_of_its_cycle():
    early = Depth(6, 3, exits=(1, 3))
    assert early.network_calls == Depth(6, 3).network_calls
    assert early.gradient_aware_cost == Depth(6, 3).gradient_aware_cost + 2 * (6 + 1)


@pytest.mark.parametrize("exits", [(1, 2), (2, 1, 3), (1, 1, 3), (0, 3), (1, 4)])
def test_exits_that_do_not_increase_to_the_last_cycle_are_refused(exits):
    with pytest.raises(ValueError, match="increase from 1 or more and end with the last cycle, 3"):
        Depth(6, 3, exits=exits)


def test_sorted_exits_are_by_default_all_cycles():
    assert curricula.sorted_exits_curriculum((6, 3))(0.5) == Depth(6, 3, exits=(1, 2, 3))


def test_sorted_exits_are_evaluated_at_the_full_depth():
    assert curricula.sorted_exits_curriculum((6, 3)).full_depth == Depth(6, 3)


def test_nested_depths_are_by_default_drawn_evenly():
    drawn = curricula.nested_depth_curriculum(((6, 1), (6, 3)))(0.0).draws
    assert drawn == ((0.5, Depth(6, 1)), (0.5, Depth(6, 3)))


def test_nested_depths_are_evaluated_at_the_deepest():
    assert curricula.nested_depth_curriculum().full_depth == Depth(6, 3)


def test_the_cost_of_nested_depths_is_its_expectation():
    curriculum = curricula.nested_depth_curriculum(((6, 1), (6, 3)), (0.25, 0.75))
    assert curriculum.relative_cost("paper") == pytest.approx((0.25 * 7 + 0.75 * 21) / 21)
    assert curriculum.relative_cost("gradient_aware") == pytest.approx((0.25 * 21 + 0.75 * 35) / 35)


@pytest.mark.parametrize("depths", [(), ((2, 1), (6, 3)), ((6, 3), (6, 1)), ((6, 2), (6, 2))])
def test_depths_that_are_not_nested_are_refused(depths):
    with pytest.raises(ValueError, match="not nested"):
        curricula.nested_depth_curriculum(depths)


def test_a_depth_with_exits_is_not_drawn():
    with pytest.raises(ValueError, match="no early exits"):
        curricula.nested_depth_curriculum(((6, 1), Depth(6, 3, exits=(1, 3))))


@pytest.mark.parametrize("probabilities", [(0.5,), (0.5, 0.6), (1.5, -0.5)])
def test_probabilities_that_are_no_distribution_are_refused(probabilities):
    with pytest.raises(ValueError, match="must sum to 1"):
        curricula.nested_depth_curriculum(((6, 1), (6, 3)), probabilities)


def test_the_stages_of_a_curriculum_may_draw_their_depth():
    nested = curricula.NestedDepths(((6, 1), (6, 3)))
    curriculum = curricula.progressive_depth_curriculum(((2, 1), nested), (0.5,))
    assert [curriculum(progress) for progress in (0.0, 1.0)] == [Depth(2, 1), nested]
