"""How a weighting is made: from a function of one loss term to an optax transformation.

Private. A weighting's own file says what the factor of one loss term is; what all weightings share
is here: the map over terms, masks, dtypes, the stopped gradient, counting, and the errors.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.masking import align, valid_entries


class Term(NamedTuple):
    """One loss term, as a weighting sees it.

    Attributes:
      losses: float32, ``[batch]`` or ``[batch, steps]``; 0 where masked; the gradient is stopped,
        unless the weighting is `differentiable`.
      valid: bool, the shape of ``losses``; False where masked.
    """

    losses: jax.Array
    valid: jax.Array


class WeightingState(NamedTuple):
    """State of a weighting that remembers.

    Attributes:
      count: int32 scalar, the updates so far.
      terms: in the structure of the losses, what is remembered of each term.
    """

    count: jax.Array
    terms: chex.ArrayTree


class Extras:
    """The extra arguments of one update; one that is missing or misshapen is an error."""

    def __init__(self, name: str, values: Mapping[str, Any], num_terms: int = 1):
        """``name`` is the weighting's, for the errors; ``num_terms`` are weighed in the update."""
        self.name = name
        self.num_terms = num_terms
        self.values = {key: value for key, value in values.items() if value is not None}

    def __contains__(self, argument: str) -> bool:
        return argument in self.values

    def get(self, argument: str, meaning: str) -> jax.Array:
        """The argument as it came; ``meaning`` says what to pass, for the error."""
        if argument not in self.values:
            raise ValueError(
                f"{self.name}: the extra argument {argument!r} is missing; "
                f"pass update(..., {argument}=...), {meaning}"
            )
        return jax.lax.stop_gradient(self.values[argument])

    def per_loss(self, argument: str, meaning: str, term: Term) -> jax.Array:
        """One number per loss, in the losses' shape; it may come as ``[batch]``. 0 if masked."""
        array = self.get(argument, meaning)
        array = align(f"{self.name}: the extra argument {argument!r}", array, term.valid.shape)
        return jnp.where(term.valid, array, 0)

    def of_one_term(self, argument: str, meaning: str, term: Term) -> jax.Array:
        """As `per_loss`, for what is known of one loss term: an error where there are several."""
        if self.num_terms > 1:
            raise ValueError(
                f"{self.name}: the extra argument {argument!r} belongs to one loss term, but there "
                f"are {self.num_terms}; use optax.masked to weigh one of them, or add them up"
            )
        return self.per_loss(argument, meaning, term)

    def features(self, argument: str, meaning: str, term: Term) -> jax.Array:
        """One float32 vector per loss or example, ``[batch, k]`` or ``[batch, steps, k]``.

        Vectors of entries that are masked are zeros.
        """
        array = jnp.asarray(self.get(argument, meaning))
        shape, rows = term.valid.shape, array.shape[:-1]
        if array.ndim < 2 or rows != shape[: len(rows)]:
            raise ValueError(
                f"{self.name}: the extra argument {argument!r} has shape {array.shape}, but it "
                f"must be {meaning}, with the leading axes of the losses' {shape}"
            )
        valid = term.valid.any(axis=tuple(range(len(rows), len(shape))))
        return jnp.where(valid[..., None], array, 0).astype(jnp.float32)


def stateless(
    name: str, weigh: Callable[[Term, Extras], jax.Array], *, differentiable: bool = False
) -> optax.GradientTransformationExtraArgs:
    """A weighting without memory.

    Args:
      name: of the weighting, for errors.
      weigh: ``(term, extras) -> factor``, whose axes are the losses' or their first.
      differentiable: let the gradient flow from the factor into the losses.
    """

    def update(weights, state, losses=None, *, where=None, **extra_args):
        _check_losses(name, weights, losses)
        extras = Extras(name, extra_args)

        def weigh_term(weight, loss):
            term = _see(loss, where, differentiable)
            return _multiply(name, weight, weigh(term, extras), term, differentiable)

        return jax.tree.map(weigh_term, weights, losses), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def stateful(
    name: str,
    init_term: Callable[[jax.Array], Any],
    weigh: Callable[[Term, Extras, Any, jax.Array], tuple[jax.Array, Any]],
) -> optax.GradientTransformationExtraArgs:
    """A weighting that counts its updates and remembers something of each loss term.

    Args:
      name: of the weighting, for errors.
      init_term: from the template of one term's losses to what is remembered at first; its shape
        must not depend on the batch.
      weigh: ``(term, extras, memory, count) -> (factor, memory)``; ``count`` updates went before.
    """

    def init(losses):
        return WeightingState(jnp.zeros([], jnp.int32), jax.tree.map(init_term, losses))

    def update(weights, state, losses=None, *, where=None, **extra_args):
        _check_losses(name, weights, losses)
        extras = Extras(name, extra_args, len(jax.tree.leaves(losses)))

        def weigh_term(weight, loss, memory):
            term = _see(loss, where)
            factor, memory = weigh(term, extras, memory, state.count)
            return _multiply(name, weight, factor, term), jax.lax.stop_gradient(memory)

        leaves, structure = jax.tree.flatten(weights)
        memories = structure.flatten_up_to(state.terms)
        weighed = list(map(weigh_term, leaves, jax.tree.leaves(losses), memories))
        weights, terms = (structure.unflatten([pair[i] for pair in weighed]) for i in (0, 1))
        return weights, WeightingState(optax.safe_increment(state.count), terms)

    return optax.GradientTransformationExtraArgs(init, update)


def _see(loss: jax.Array, where: chex.Array | None, differentiable: bool = False) -> Term:
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
            f"{name}: the losses have shapes {shapes[1]} and the weights {shapes[0]}; pass the "
            "unreduced losses as the third argument, update(weights, state, losses, ...), in the "
            "weights' structure and shapes"
        )
