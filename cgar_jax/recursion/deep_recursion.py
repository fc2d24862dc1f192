"""The recursion: latent recursion, deep recursion and one supervision step of a model.

The functions here are pure and take any network `f`. They do not depend on losses, halting or
curricula. Depth and options are static, so every depth is its own compiled program, and a shallow
one really costs less.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
from jax import lax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from cgar_jax._core.depth import Depth
from cgar_jax.models import Model, Outputs
from cgar_jax.recursion.options import PLAIN, Draws, RecursionOptions
from cgar_jax.recursion.rows import where_rows

Network = Callable[[jax.Array], jax.Array]
"""A network, from an array to one of the same shape and dtype."""
States = tuple[jax.Array, ...]
"""The answer state `y` and the latent state `z`; or one state, which is both."""
Call = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""A network call, `(state, injection, number of the call) -> new state`."""
Calls = tuple[Call, Call]
"""The calls that update the latent and the answer state."""

STATES_BEFORE_GRADIENT = "states_before_gradient"
"""The name of the states before the cycles with gradient, for policies of `jax.checkpoint`.

With a policy that saves only these states, the backward pass recomputes only those cycles.
"""


class Question(NamedTuple):
    """A batch of questions for a model.

    Attributes:
      inputs: tokens, int `[batch, sequence_length]`.
      puzzle_rows: rows of the puzzle embedding, `[batch, puzzle_embedding_size]`.
      draws: what is random in the recursion; None suffices for options without `needs_draws`.
      begins: whether this is the first step of each example, bool `[batch]`; for options with
        `starts_at_question`.
    """

    inputs: jax.Array
    puzzle_rows: jax.Array
    draws: Draws | None = None
    begins: jax.Array | None = None


def latent_recursion(f: Network, x: jax.Array, states: States, n: int) -> States:
    """Updates the latent state `n` times, then the answer state once: one cycle.

    `z <- f(x + y + z)` n times, then `y <- f(y + z)`. With one state, `z <- f(x + z)` n + 1 times,
    which costs as much.

    Args:
      f: the network, from an array to one of the same shape and dtype.
      x: the embedded question.
      states: the answer state `y` and the latent state `z`, or one state; each shaped like `x`.
      n: number of latent updates, a Python int.

    Returns:
      The new states.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871. One state: Gao et al., 2025, arXiv 2512.14693.
    """
    return _cycle(_calls((f, f), PLAIN, None), x, states, n, 0)


def _cycle(
    calls: Calls, x: jax.Array, states: States, n: int, number: jax.typing.ArrayLike, done: int = 0
) -> States:
    """Runs cycle `number`, whose first `done` latent updates are done already."""
    first = number * (n + 1)
    updates = n if len(states) == 2 else n + 1
    update_latent, update_answer = calls
    states = _latent_updates(update_latent, x, states, first + jnp.arange(done, updates))
    if len(states) == 1:
        return states
    y, z = states
    return update_answer(y, z, first + n), z


def _latent_updates(call: Call, x: jax.Array, states: States, numbers: jax.Array) -> States:
    """Updates the latent state once for each number of a call."""
    if not len(numbers):
        return states
    *y, z = states
    injection = x + y[0] if y else x
    z, _ = lax.scan(lambda z, number: (call(z, injection, number), None), z, numbers)
    return *y, z


def deep_recursion(
    f: Network | tuple[Network, Network],
    x: jax.Array,
    states: States,
    depth: Depth,
    options: RecursionOptions = PLAIN,
    draws: Draws | None = None,
) -> States:
    """Runs `depth.T` cycles, of which by default only the last one is differentiated.

    The backward pass keeps the input of each network call with gradient and recomputes the rest.
    With one such cycle, memory grows with n, but neither with T nor with the number of operations
    inside `f`.

    Args:
      f: the network, which may close over parameters that are being differentiated; or two, one
        that updates the latent and one that updates the answer state.
      x: the embedded question.
      states: the answer state `y` and the latent state `z`, or one state; each has the shape and
        dtype of `x`.
      depth: static `Depth(n, T)`.
      options: which calls run with gradient, and how a call changes a state.
      draws: what is random; needed if `options.needs_draws`.

    Returns:
      The new states.

    Raises:
      AssertionError: if the shapes or dtypes of `x` and the states differ.
      ValueError: if `draws` are missing, or the options need two states.

    Reference:
      Jolicoeur-Martineau, 2025, arXiv 2510.04871.
    """
    chex.assert_equal_shape([x, *states])
    chex.assert_trees_all_equal_dtypes(x, *states)
    if options.needs_draws and draws is None:
        raise ValueError("a recursion with noise or transitions needs `draws`")
    if options.transition_probability and len(states) == 1:
        raise ValueError("transition_probability needs an answer and a latent state")
    n, networks = depth.n, f if isinstance(f, tuple) else (f, f)
    cycles, updates = options.without_gradient(depth, len(states))
    if cycles or updates:
        detached_x, states = lax.stop_gradient((x, states))
        calls = _calls(tuple(_detached(network, x) for network in networks), options, draws)
        states = _cycles(calls, detached_x, states, n, jnp.arange(cycles))
        numbers = cycles * (n + 1) + jnp.arange(updates)
        states = _latent_updates(calls[0], detached_x, states, numbers)
        states = checkpoint_name(states, STATES_BEFORE_GRADIENT)
    calls = _calls(tuple(map(jax.checkpoint, networks)), options, draws)
    states = _cycle(calls, x, states, n, cycles, updates)
    if options.transition_probability and depth.T > 1:
        y, z = states
        states = jnp.where(draws.transition, y, lax.stop_gradient(y)), z
    return _cycles(calls, x, states, n, jnp.arange(cycles + 1, depth.T))


def _detached(f: Network, x: jax.Array) -> Network:
    """Returns a network without gradient.

    Stopping the gradient of the result would still trace derivatives through the network, so the
    arrays that it closes over are lifted out and detached as well.
    """
    pure_f, closed_over = jax.closure_convert(f, x)
    closed_over = lax.stop_gradient(closed_over)
    return lambda h: pure_f(h, *closed_over)


def _cycles(calls: Calls, x: jax.Array, states: States, n: int, numbers: jax.Array) -> States:
    """Runs the cycles of the given numbers."""
    if not len(numbers):
        return states
    return lax.scan(lambda states, k: (_cycle(calls, x, states, n, k), None), states, numbers)[0]


def _calls(
    networks: tuple[Network, ...], options: RecursionOptions, draws: Draws | None
) -> tuple[Call, ...]:
    """Returns the calls `(1 - rate) s + rate f(s + injection) + noise e` of some networks."""

    def caller(f):
        def call(state, injection, number):
            new = f(state + injection)
            if options.rate != 1:
                new = (1 - options.rate) * state + options.rate * new
            if options.noise:
                new = new + options.noise * draws.noise(number).astype(new.dtype)
            return new

        return call

    return tuple(map(caller, networks))


def supervision_step(
    model: Model,
    variables: dict[str, Any],
    question: Question,
    states: States,
    depth: Depth,
    options: RecursionOptions = PLAIN,
) -> tuple[States, Outputs]:
    """Computes one supervision step: embeds the question, runs a deep recursion, reads the answer.

    Args:
      model: the model.
      variables: variables of the model, `{"params": ..., "constants": ...}`.
      question: the question of each example.
      states: the states before the step, each `[batch, *model.state_shape]`.
      depth: static `Depth(n, T)`.
      options: options of the recursion.

    Returns:
      `(states, outputs)`: the states after the step, still attached to the gradient, and the
      outputs of the heads.

    Raises:
      ValueError: if the question lacks what the options need.
    """

    def call(method, *arguments):
        return model.apply(variables, *arguments, method=method)

    def update_latent(h):
        return call("network", h)

    def update_answer(h):
        return call("answer_network", h)

    f = (update_latent, update_answer) if model.num_networks == 2 else update_latent
    x = call("embed", question.inputs, question.puzzle_rows)
    if options.starts_at_question:
        if question.begins is None:
            raise ValueError("a recursion with starts_at_question needs `begins`")
        states = tuple(where_rows(question.begins, x, state) for state in states)
    x, *states = (jnp.moveaxis(array, 0, model.batch_axis) for array in (x, *states))
    states = deep_recursion(f, x, tuple(states), depth, options, question.draws)
    states = tuple(jnp.moveaxis(state, model.batch_axis, 0) for state in states)
    return states, call("heads", states[0])
