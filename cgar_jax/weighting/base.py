"""Building blocks of weightings: from a function of one loss term to an optax transformation.

>>> import jax.numpy as jnp
>>> from cgar_jax.weighting.base import stateless
>>> def root_weighting():
...     return stateless("root_weighting", lambda term, extras: jnp.sqrt(term.losses))
>>> root, losses = root_weighting(), jnp.array([1.0, 4.0])
>>> print(root.update(jnp.ones(2), root.init(losses), losses)[0])
[1. 2.]

A weighting's own file contains the factor by which one loss term is weighted. This file contains
everything that all weightings share: the map over loss terms, masks, dtypes, the stopped gradient,
the count of updates, and the checks of the arguments.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from cgar_jax._core.ids import known_ids, widen
from cgar_jax._core.masking import align, valid_entries


class Term(NamedTuple):
    """One loss term, prepared for a weighting.

    Attributes:
      losses: unreduced losses, float32 `[batch]` or `[batch, steps]`; 0 where masked. No gradient
        flows through them, unless the weighting is differentiable.
      valid: mask, bool, the shape of `losses`; False where masked.
    """

    losses: jax.Array
    valid: jax.Array

    def valid_rows(self, num_axes: int) -> jax.Array:
        """Returns which entries of the first `num_axes` axes have a valid loss, bool."""
        return self.valid.any(axis=tuple(range(num_axes, self.valid.ndim)))


class WeightingState(NamedTuple):
    """State of a weighting with memory.

    Attributes:
      count: number of updates so far, int32 scalar.
      terms: memory of each loss term, in the tree structure of the losses.
    """

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]  (as in optax)
    terms: Any


class Extras:
    """The extra arguments of one update, with checks of their presence and shapes.

    Attributes:
      name: name of the weighting, for error messages.
      num_terms: number of loss terms in the update.
      values: the extra arguments that are not None, by name.
    """

    def __init__(self, name: str, values: Mapping[str, Any], num_terms: int = 1):
        self.name = name
        self.num_terms = num_terms
        self.values = {key: value for key, value in values.items() if value is not None}

    def __contains__(self, argument: str) -> bool:
        return argument in self.values

    def get(self, argument: str, meaning: str) -> jax.Array:
        """Returns an extra argument unchanged, without gradient.

        Args:
          argument: name of the extra argument.
          meaning: description of the expected value, for the error message.

        Returns:
          The value that the caller of `update` passed.

        Raises:
          ValueError: if the argument is missing.
        """
        return jax.lax.stop_gradient(self._given(argument, meaning))

    def per_loss(self, argument: str, meaning: str, term: Term) -> jax.Array:
        """Returns an extra argument with one number per loss.

        Args:
          argument: name of the extra argument, which has shape `[batch]` or the shape of the
            losses.
          meaning: description of the expected value, for the error message.
          term: the loss term.

        Returns:
          The value, broadcast to the shape of the losses; 0 where masked.

        Raises:
          ValueError: if the argument is missing or has another shape.
        """
        array = self.get(argument, meaning)
        array = align(f"{self.name}: the extra argument {argument!r}", array, term.valid.shape)
        return jnp.where(term.valid, array, 0)

    def ids(
        self, argument: str, meaning: str, count: int, term: Term
    ) -> tuple[jax.Array, jax.Array]:
        """Returns an extra argument that chooses one of `count` things for each loss.

        Args:
          argument: name of the extra argument, which has shape `[batch]` or the shape of the
            losses.
          meaning: description of the expected value, for the error message.
          count: number of things to choose from.
          term: the loss term.

        Returns:
          The ids, int32, 0 where masked or outside `0 .. count - 1`; and which losses are neither
          masked nor outside, bool. Both have the shape of the losses.

        Raises:
          ValueError: if the argument is missing, has another shape or is not an array of integers.
        """
        owner = f"{self.name}: the extra argument {argument!r}"
        ids, known = known_ids(self.name, argument, self._given(argument, meaning), count)
        ids, known = (align(owner, array, term.valid.shape) for array in (ids, known))
        return jnp.where(term.valid, ids, 0), known & term.valid

    def steps(
        self, argument: str, meaning: str, term: Term, last: chex.Numeric | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns an extra argument that counts steps or positions from 1.

        Args:
          argument: name of the extra argument, which has shape `[batch]` or the shape of the
            losses.
          meaning: description of the expected value, for the error message.
          term: the loss term.
          last: largest step; None means that there is none.

        Returns:
          The steps, int32, 1 where masked or out of range; and which losses are neither, bool. Both
          have the shape of the losses.

        Raises:
          ValueError: if the argument is missing, has another shape or is not an array of integers,
            or, outside of `jax.jit`, has a step out of range that is not masked.
        """
        owner = f"{self.name}: the extra argument {argument!r}"
        step = align(
            owner, widen(self.name, argument, self._given(argument, meaning)), term.valid.shape
        )
        inside = step >= 1 if last is None else (step >= 1) & (step <= last)
        wrong = term.valid & ~inside
        if not isinstance(wrong, Tracer) and wrong.any():
            upwards = "up" if last is None else f"to {last}"
            raise ValueError(
                f"{owner} contains {step[wrong][0]}, but steps are counted from 1 {upwards}; "
                "if yours are counted from 0, add 1"
            )
        inside &= term.valid
        return jnp.where(inside, step, 1), inside

    def of_one_term(self, argument: str, meaning: str, term: Term) -> jax.Array:
        """Returns an extra argument with one number per loss, for losses with a single term.

        Args:
          argument: name of the extra argument, which has shape `[batch]` or the shape of the
            losses.
          meaning: description of the expected value, for the error message.
          term: the loss term.

        Returns:
          The value, broadcast to the shape of the losses; 0 where masked.

        Raises:
          ValueError: if the argument is missing or has another shape, or the losses have several
            terms.
        """
        if self.num_terms > 1:
            raise ValueError(
                f"{self.name}: the extra argument {argument!r} belongs to one loss term, but the "
                f"losses have {self.num_terms} terms; weight one of them with optax.masked, or add "
                "the terms before weighting them"
            )
        return self.per_loss(argument, meaning, term)

    def features(self, argument: str, meaning: str, term: Term) -> jax.Array:
        """Returns an extra argument with one vector per example or per loss.

        Args:
          argument: name of the extra argument, `[batch, features]` or `[batch, steps, features]`.
          meaning: description of the expected value, for the error message.
          term: the loss term.

        Returns:
          The value in float32; vectors of masked entries are zero.

        Raises:
          ValueError: if the argument is missing or has another shape.
        """
        array = jnp.asarray(self.get(argument, meaning))
        shape, rows = term.valid.shape, array.shape[:-1]
        if array.ndim < 2 or rows != shape[: len(rows)]:
            raise ValueError(
                f"{self.name}: the extra argument {argument!r} has shape {array.shape}, but "
                f"{meaning} is expected, with the leading axes of the losses' shape {shape}"
            )
        valid = term.valid_rows(len(rows))
        return jnp.where(valid[..., None], array, 0).astype(jnp.float32)

    def _given(self, argument: str, meaning: str) -> Any:
        """Returns an extra argument unchanged; raises an error if it is missing."""
        if argument not in self.values:
            raise ValueError(
                f"{self.name}: the extra argument {argument!r} is missing; "
                f"pass update(..., {argument}=...), {meaning}. (optax.MultiSteps drops extra "
                "arguments; accumulate gradients with it around the optimizer, not the weighting)"
            )
        return self.values[argument]


def stateless(
    name: str, weigh: Callable[[Term, Extras], jax.Array], *, differentiable: bool = False
) -> optax.GradientTransformationExtraArgs:
    """Builds a weighting without memory.

    Args:
      name: name of the weighting, for error messages.
      weigh: function `(term, extras) -> factor`; the factor has the axes of the losses, or the
        first of them.
      differentiable: whether the gradient flows through the factor into the losses.

    Returns:
      A weighting that multiplies each weight by the factor.
    """

    # The names of the arguments are those of optax, which a caller may pass by keyword.
    def update(updates, state, params=None, *, where=None, **extra_args):
        weights, losses = updates, params
        _check_losses(name, weights, losses)
        extras = Extras(name, extra_args)

        def weigh_term(weight, loss):
            term = _term(loss, where, differentiable)
            return _multiply(name, weight, weigh(term, extras), term, differentiable)

        return jax.tree.map(weigh_term, weights, losses), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def stateful(
    name: str,
    init_term: Callable[[jax.Array], Any],
    weigh: Callable[[Term, Extras, Any, jax.Array], tuple[jax.Array, Any]],
) -> optax.GradientTransformationExtraArgs:
    """Builds a weighting that counts its updates and has a memory for each loss term.

    Args:
      name: name of the weighting, for error messages.
      init_term: function from a loss term to its initial memory, whose shapes must not depend on
        the batch size. With `lambda loss: ()`, only the updates are counted.
      weigh: function `(term, extras, memory, count) -> (factor, memory)`, where `count` is the
        number of earlier updates.

    Returns:
      A weighting that multiplies each weight by the factor; its state is a `WeightingState`.
    """

    def init(params):
        return WeightingState(jnp.zeros([], jnp.int32), jax.tree.map(init_term, params))

    def update(updates, state, params=None, *, where=None, **extra_args):
        weights, losses = updates, params
        _check_losses(name, weights, losses)
        extras = Extras(name, extra_args, len(jax.tree.leaves(losses)))

        def weigh_term(weight, loss, memory):
            term = _term(loss, where)
            factor, memory = weigh(term, extras, memory, state.count)
            return _multiply(name, weight, factor, term), jax.lax.stop_gradient(memory)

        leaves, structure = jax.tree.flatten(weights)
        memories = structure.flatten_up_to(state.terms)
        weighted = list(map(weigh_term, leaves, jax.tree.leaves(losses), memories))
        weights, terms = (structure.unflatten([pair[i] for pair in weighted]) for i in (0, 1))
        return weights, WeightingState(jnp.asarray(optax.safe_increment(state.count)), terms)

    return optax.GradientTransformationExtraArgs(init, update)


def moving_average(
    average: jax.Array, latest: jax.Array, num_batches: jax.Array, decay: chex.Numeric
) -> jax.Array:
    """Returns the next value of a moving average that begins with the value of the first batch.

    Args:
      average: the average so far, of any shape.
      latest: the value of the current batch, of the same shape.
      num_batches: number of earlier batches, int; broadcast to that shape.
      decay: weight of the average so far, in [0, 1).

    Returns:
      The new average, float32.
    """
    decay = jnp.asarray(decay, jnp.float32)
    return jnp.where(num_batches > 0, decay * average + (1 - decay) * latest, latest)


def _term(loss: jax.Array, where: chex.Array | None, differentiable: bool = False) -> Term:
    valid = valid_entries(where, loss.shape)
    loss = jnp.where(valid, loss, 0).astype(jnp.float32)
    return Term(loss if differentiable else jax.lax.stop_gradient(loss), valid)


def _multiply(
    name: str, weight: jax.Array, factor: jax.Array, term: Term, differentiable: bool = False
) -> jax.Array:
    factor = align(f"{name}: the factor", factor, weight.shape)
    if not differentiable:
        factor = jax.lax.stop_gradient(factor)
    return jnp.where(term.valid, weight.astype(jnp.float32) * factor, 0).astype(weight.dtype)


def _check_losses(name: str, weights: chex.ArrayTree, losses: chex.ArrayTree | None) -> None:
    shapes = jax.tree.map(jnp.shape, (weights, losses))
    if losses is None or shapes[0] != shapes[1]:
        raise ValueError(
            f"{name}: the losses have shapes {shapes[1]} and the weights {shapes[0]}, but they "
            "must be the same; pass the unreduced losses as the third argument, "
            "update(weights, state, losses, ...)"
        )
