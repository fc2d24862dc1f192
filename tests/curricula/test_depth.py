"""`Depth`: validation, costs and exits."""

import functools

import jax
import jax.numpy as jnp
import pytest

from cgar_jax.curricula import Depth


@pytest.mark.parametrize(
    ("depth", "network_calls", "gradient_aware_cost"),
    [(Depth(2, 1), 3, 9), (Depth(4, 2), 10, 20), (Depth(6, 3), 21, 35)],
)
def test_costs_of_the_published_depths(depth, network_calls, gradient_aware_cost):
    assert depth.network_calls == network_calls
    assert depth.gradient_aware_cost == gradient_aware_cost


def test_a_depth_is_a_static_argument_that_compiles_once_per_value():
    traced = []

    @functools.partial(jax.jit, static_argnames="depth")
    def calls(x, depth):
        traced.append(depth)
        return x * depth.network_calls

    assert calls(jnp.float32(2), depth=Depth(2, 1)) == 6
    assert calls(jnp.float32(3), depth=Depth(2, 1)) == 9
    assert calls(jnp.float32(2), depth=Depth(6, 3)) == 42
    assert traced == [Depth(2, 1), Depth(6, 3)]


def test_a_depth_prints_as_a_pair():
    assert str(Depth(6, 3)) == "(6, 3)"


@pytest.mark.parametrize("pair", [(1, 0), (-2, 3), (2.0, 1), (2, True), ("6", 3)])
def test_a_depth_that_is_not_two_ints_raises_an_error(pair):
    with pytest.raises(ValueError, match="must be an int from"):
        Depth(*pair)


def test_the_default_exit_is_the_last_cycle():
    assert Depth(6, 3) == Depth(6, 3, exits=(3,))


def test_the_segments_of_a_depth_run_from_exit_to_exit():
    assert Depth(6, 5, exits=(1, 4, 5)).segments == (Depth(6, 1), Depth(6, 3), Depth(6, 1))


def test_each_further_exit_costs_the_backward_pass_of_its_cycle():
    early = Depth(6, 3, exits=(1, 3))
    assert early.network_calls == Depth(6, 3).network_calls
    assert early.gradient_aware_cost == Depth(6, 3).gradient_aware_cost + 2 * (6 + 1)


@pytest.mark.parametrize("exits", [(1, 2), (2, 1, 3), (1, 1, 3), (0, 3), (1, 4)])
def test_exits_that_do_not_increase_to_the_last_cycle_raise_an_error(exits):
    with pytest.raises(ValueError, match="increase from 1 or more and end with the last cycle, 3"):
        Depth(6, 3, exits=exits)


def test_full_drops_early_exits():
    assert Depth(6, 3, exits=(1, 3)).full == Depth(6, 3)


def test_without_latent_recursions_every_cycle_is_one_supervised_call():
    depth = Depth(0, 3)
    assert (depth.network_calls, depth.num_exits, depth.gradient_aware_cost) == (3, 3, 9)
    assert depth.full == depth
    assert str(depth) == "3 loops"
