"""Sampling: which training examples the next batch holds, as the trainer asks for them.

A `Sampling` joins the data orders, paces and mixers of this room to a training set that lies on the
device whole, sorted beforehand as the sampling wants it.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax.curricula.pacing import pacing_subset_curriculum
from cgar_jax.sampling.data_order import folding_order
from cgar_jax.sampling.mixing import draw_domains, odm_mixer
from cgar_jax.scores.gradient_norms import score_pruned_sampler


class Request(NamedTuple):
    """What a sampling is told when it draws.

    Attributes:
      key: random key of this step.
      progress: float32 scalar, the share of training done.
      groups: int32 ``[num_examples]``, the puzzle that each example of the ordered set belongs to,
        numbers below ``num_examples``.
      wanted: bool ``[batch]``, the slots that will take a fresh example; a row for another slot is
        drawn as well and not used.
    """

    key: jax.Array
    progress: jax.Array
    groups: jax.Array
    wanted: jax.Array

    @property
    def num_examples(self) -> int:
        """Of the training set as ordered."""
        return self.groups.shape[0]


def _keep_state(state: Any, losses: jax.Array, domain_ids: jax.Array, where: jax.Array) -> Any:
    del losses, domain_ids, where
    return state


class Sampling(NamedTuple):
    """Pure functions that choose training examples; rows count in the order that ``order`` gives.

    Attributes:
      order: ``difficulty float [n] -> int [m]``, once and on the host: which examples, in which
        order.
      init: ``() -> state``, a pytree of arrays.
      draw: ``(state, Request) -> (rows int32 [batch], state)``.
      update: ``(state, losses, domain_ids, where) -> state``, after each step, all ``[batch]``;
        ``domain_ids`` are groups of equal size by difficulty.
    """

    order: Callable[[np.ndarray], np.ndarray]
    init: Callable[[], Any]
    draw: Callable[[Any, Request], tuple[jax.Array, Any]]
    update: Callable[[Any, jax.Array, jax.Array, jax.Array], Any] = _keep_state


def uniform_sampling() -> Sampling:
    """Every example alike, with replacement."""
    return Sampling(lambda difficulty: np.arange(len(difficulty)), tuple, _draw_below())


def pacing_subset_sampling(
    start_fraction: float = 0.2,
    full_at: float = 0.8,
    family: Literal["linear", "root", "quadratic", "exponential", "step"] = "linear",
    order: Literal["curriculum", "anti", "random"] = "curriculum",
    seed: int = 0,
) -> Sampling:
    """The easiest examples at first, and more and more of them: `pacing_subset_curriculum`.

    Drawn evenly, with replacement, from those in use; ``seed`` is for the order ``"random"``.
    """
    curriculum = pacing_subset_curriculum(start_fraction, full_at, family, order)
    return Sampling(
        lambda difficulty: curriculum.order_examples(difficulty, jax.random.key(seed)),
        tuple,
        _draw_below(lambda request: curriculum.count(request.progress, request.num_examples)),
    )


def score_pruned_sampling(keep: float, drop_top: float = 0.0) -> Sampling:
    """The hardest examples alone, perhaps without the very hardest: `score_pruned_sampler`."""
    return Sampling(
        lambda difficulty: score_pruned_sampler(difficulty, keep, drop_top), tuple, _draw_below()
    )


def folding_sampling(folds: int = 3, ascending: bool = True) -> Sampling:
    """Each example in turn, in the order of `folding_order`, and again from the beginning."""

    def draw(position, request):
        turns = position + jnp.cumsum(request.wanted, dtype=jnp.int32)
        return (turns - 1) % request.num_examples, turns[-1] % request.num_examples

    return Sampling(
        lambda difficulty: folding_order(difficulty, folds, ascending),
        lambda: jnp.zeros([], jnp.int32),
        draw,
    )


def epoch_sampling(seed: int = 0) -> Sampling:
    """Every puzzle once in each epoch, in a new order; all its examples one after another.

    The order within a puzzle is new each time as well. Each draw sorts the whole set: of a hundred
    thousand examples that takes milliseconds, larger sets are better streamed.

    Source: the published data loader of Wang et al., 2025 (HRM), arXiv 2506.21734, visits each
    puzzle once per epoch; there examples that do not fit the batch are dropped, here they are the
    first of the next one.
    """

    def order(epoch, groups):
        group_key, example_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), epoch))
        turns = jax.random.uniform(group_key, groups.shape)[groups]
        # Groups that drew the same number are still told apart.
        return jnp.lexsort((jax.random.uniform(example_key, groups.shape), groups, turns))

    def draw(state, request):
        epoch, position = state
        num, batch = request.num_examples, request.wanted.shape[0]
        turns = position + jnp.cumsum(request.wanted, dtype=jnp.int32)
        later = jnp.arange(-(-batch // num) + 1)  # epochs that one batch can reach
        orders = jax.vmap(order, (0, None))(epoch + later, request.groups)
        rows = orders.reshape(-1)[jnp.maximum(turns - 1, 0)]
        return rows.astype(jnp.int32), (epoch + turns[-1] // num, turns[-1] % num)

    zero = functools.partial(jnp.zeros, [], jnp.int32)
    return Sampling(lambda difficulty: np.arange(len(difficulty)), lambda: (zero(), zero()), draw)


def odm_sampling(
    num_domains: int = 10, smoothing: float | None = 0.9, warmup_steps: int = 1000
) -> Sampling:
    """More from the levels of difficulty with the higher losses: `odm_mixer`."""
    mixer = odm_mixer(num_domains, smoothing, warmup_steps)

    def draw(state, request):
        domain_key, row_key = jax.random.split(request.key)
        shape = request.wanted.shape
        domains = draw_domains(domain_key, mixer.probabilities(state), shape)
        # Domain k is the ranks r with r K // n = k.
        bounds = -(-np.arange(num_domains + 1) * request.num_examples // num_domains)
        first, end = jnp.asarray(bounds)[jnp.stack([domains, domains + 1])]
        return jax.random.randint(row_key, shape, first, end), state

    return Sampling(
        lambda difficulty: np.argsort(difficulty, kind="stable"),
        mixer.init,
        draw,
        lambda state, losses, domain_ids, where: mixer.update(
            state, losses, domain_ids, where=where
        ),
    )


def _draw_below(count: Callable[[Request], Any] = lambda request: request.num_examples):
    """Rows drawn evenly, with replacement, from the first ``count(request)``."""

    def draw(state, request):
        rows = jax.random.randint(request.key, request.wanted.shape, 0, count(request))
        return rows, state

    return draw
