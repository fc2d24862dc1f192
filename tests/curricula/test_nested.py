"""Curricula for one model that works at every depth."""

import pytest

from cgar_jax import curricula
from cgar_jax.curricula import Depth


def test_sorted_exits_default_to_all_cycles():
    assert curricula.sorted_exits_curriculum((6, 3))(0.5) == Depth(6, 3, exits=(1, 2, 3))


def test_sorted_exits_are_evaluated_at_the_full_depth():
    assert curricula.sorted_exits_curriculum((6, 3)).full_depth == Depth(6, 3)


def test_nested_depths_default_to_equal_probabilities():
    drawn = curricula.nested_depth_curriculum(((6, 1), (6, 3)))(0.0).draws
    assert drawn == ((0.5, Depth(6, 1)), (0.5, Depth(6, 3)))


def test_nested_depths_are_evaluated_at_the_deepest_depth():
    assert curricula.nested_depth_curriculum().full_depth == Depth(6, 3)


def test_the_cost_of_nested_depths_is_its_expectation():
    curriculum = curricula.nested_depth_curriculum(((6, 1), (6, 3)), (0.25, 0.75))
    assert curriculum.relative_cost("paper") == pytest.approx((0.25 * 7 + 0.75 * 21) / 21)
    assert curriculum.relative_cost("gradient_aware") == pytest.approx((0.25 * 21 + 0.75 * 35) / 35)


@pytest.mark.parametrize("depths", [(), ((2, 1), (6, 3)), ((6, 3), (6, 1)), ((6, 2), (6, 2))])
def test_depths_that_are_not_nested_raise_an_error(depths):
    with pytest.raises(ValueError, match="not nested"):
        curricula.nested_depth_curriculum(depths)


def test_a_nested_depth_with_early_exits_raises_an_error():
    with pytest.raises(ValueError, match="no early exits"):
        curricula.nested_depth_curriculum(((6, 1), Depth(6, 3, exits=(1, 3))))


@pytest.mark.parametrize("probabilities", [(0.5,), (0.5, 0.6), (1.5, -0.5)])
def test_probabilities_that_are_not_a_distribution_raise_an_error(probabilities):
    with pytest.raises(ValueError, match="must sum to 1"):
        curricula.nested_depth_curriculum(((6, 1), (6, 3)), probabilities)


def test_nested_depths_may_be_one_stage_of_a_curriculum():
    nested = curricula.NestedDepths(((6, 1), (6, 3)))
    curriculum = curricula.progressive_depth_curriculum(((2, 1), nested), (0.5,))
    assert [curriculum(progress) for progress in (0.0, 1.0)] == [Depth(2, 1), nested]
