"""`DepthCurriculum`: stages, boundaries, schedules and `build`."""

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


@given(depth_curricula(), progress, progress)
def test_the_stage_never_decreases(curriculum, a, b):
    assert curriculum.stage_index(min(a, b)) <= curriculum.stage_index(max(a, b))


@given(depth_curricula())
def test_training_ends_in_the_last_stage(curriculum):
    assert curriculum(1.0) == curriculum.stages[-1]


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
def test_a_boundary_is_rounded_up_to_a_step_in_spite_of_float_error(
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
def test_progress_outside_the_unit_interval_raises_an_error(progress):
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
def test_a_wrong_number_of_boundaries_raises_an_error(boundaries):
    with pytest.raises(ValueError, match="one stage more than boundaries"):
        curricula.progressive_depth_curriculum(boundaries=boundaries)


def test_a_schedule_of_zero_steps_raises_an_error():
    with pytest.raises(ValueError, match="total_steps is 0"):
        curricula.fixed_depth_curriculum().schedule(0)


def test_an_unknown_count_suggests_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'gradient_aware'"):
        curricula.fixed_depth_curriculum().relative_cost("gradient-aware")


def test_build_returns_the_curriculum_that_a_config_names():
    built = curricula.build("progressive_depth_curriculum", boundaries=(0.2, 0.4))
    assert built == curricula.progressive_depth_curriculum(boundaries=(0.2, 0.4))


def test_build_suggests_the_nearest_name_of_a_curriculum():
    with pytest.raises(ValueError, match="did you mean 'fixed_depth_curriculum'"):
        curricula.build("fixed_depth")


def test_build_suggests_the_nearest_name_of_a_setting():
    with pytest.raises(ValueError, match="'boundary'; did you mean 'boundaries'"):
        curricula.build("progressive_depth_curriculum", boundary=(0.3, 0.6))


def test_a_stateful_stage_must_be_the_only_stage():
    plateaus = curricula.plateau_depth_curriculum().stages[0]
    with pytest.raises(ValueError, match="must be the only stage"):
        curricula.DepthCurriculum(((1, 1), plateaus), (0.5,))
