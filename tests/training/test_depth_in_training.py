"""The training step with random depths, several exits, and depths that grow at plateaus."""

import functools

import chex
import jax
import ml_collections
import numpy as np
import pytest

from cgar_jax import curricula
from cgar_jax.curricula import Depth, NestedDepths, PlateauDepths
from cgar_jax.training.programs import Programs
from cgar_jax.training.step_metrics import finish_metrics
from tests.training import problem

SHALLOW, DEEP = Depth(2, 1), Depth(2, 2)


# These settings see a plateau at once: two steps at the first depth, then the second depth.
AT_ONCE = ml_collections.ConfigDict(
    {
        "name": "plateau_depth_curriculum",
        "stages": ((2, 1), (2, 2)),
        "latest": 1.0,
        "window": 0.01,
        "patience": 1,
        "improvement": 0.99,
    }
)


def built(depth):
    changes = {"curriculum": AT_ONCE} if isinstance(depth, PlateauDepths) else {}
    return problem.build(weighting=(), **changes)


@functools.cache
def program_of(depth):
    pieces, dataset, state = built(depth)
    with Programs(pieces.train_step, state, dataset) as programs:
        return programs.prepare(depth).result()


def trained(depth, *chunks):
    """State and last metrics after dispatches of `chunks` steps, from the first step."""
    _, dataset, state = built(depth)
    for chunk in chunks:
        state, sums = program_of(depth)(state, dataset, np.int32(chunk))
    return jax.device_get(state), finish_metrics(jax.device_get(sums))


def first_loss(depth):
    return trained(depth, 1)[1]["loss"]


def test_the_loss_of_sorted_exits_is_the_mean_of_the_losses_at_each_depth():
    expected = (first_loss(SHALLOW) + first_loss(DEEP)) / 2
    np.testing.assert_allclose(first_loss(Depth(2, 2, exits=(1, 2))), expected, rtol=1e-5)


def test_a_step_of_nested_depths_has_the_loss_of_one_of_them():
    losses = {round(first_loss(depth), 4) for depth in (SHALLOW, DEEP)}
    assert round(first_loss(NestedDepths((SHALLOW, DEEP))), 4) in losses


def test_nested_depths_that_always_draw_the_deepest_equal_ordinary_training():
    always, _ = trained(NestedDepths((SHALLOW, DEEP), (0.0, 1.0)), 4)
    ordinary, _ = trained(DEEP, 4)
    chex.assert_trees_all_close(always.params, ordinary.params, atol=1e-6)


def test_nested_depths_draw_different_depths_over_the_steps():
    losses = [
        trained(depth, 8)[1]["loss"] for depth in (SHALLOW, NestedDepths((SHALLOW, DEEP)), DEEP)
    ]
    assert len({round(loss, 4) for loss in losses}) == 3


(PLATEAUS,) = curricula.build(**AT_ONCE).stages


@pytest.mark.parametrize("depths", [NestedDepths((SHALLOW, DEEP)), PLATEAUS])
def test_the_depths_that_run_do_not_depend_on_the_sizes_of_dispatches(depths):
    chex.assert_trees_all_equal(trained(depths, 6)[0], trained(depths, 1, 5)[0])


def test_the_depth_grows_after_a_plateau():
    indices = [trained(PLATEAUS, *[1] * number)[1]["depth_index"] for number in (1, 2, 3, 4)]
    assert indices == [0, 0, 1, 1]


def test_the_flops_of_a_step_are_those_of_the_depth_that_has_run():
    step_flops = built(PLATEAUS)[0].train_step.step_flops
    mean = (2 * step_flops(SHALLOW) + 4 * step_flops(DEEP)) / 6
    np.testing.assert_allclose(trained(PLATEAUS, 6)[1]["model_flops"], mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nested_depth_curriculum", {"depths": ((2, 1), (2, 2))}),
        ("sorted_exits_curriculum", {"depth": (2, 2)}),
        ("plateau_depth_curriculum", {"stages": ((2, 1), (2, 2))}),
    ],
)
def test_a_config_selects_the_depth_curriculum_and_evaluates_at_its_full_depth(name, settings):
    curriculum = ml_collections.ConfigDict({"name": name} | settings)
    assert problem.build(curriculum=curriculum)[0].curriculum.full_depth == DEEP
