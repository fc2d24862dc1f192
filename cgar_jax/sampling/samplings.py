"""Samplings: how the trainer chooses the examples of each batch.

>>> import numpy as np
>>> from cgar_jax import sampling
>>> hardest = sampling.score_pruned_sampling(keep=0.5)
>>> print(hardest.order(np.array([3.0, 1.0, 2.0, 0.0])))
[0 2]

A `Sampling` applies a data order, a pacing curriculum or a mixer to a training set that lies
entirely on the device, sorted beforehand by the sampling's `order`. Its functions are pure, and its
state consists of arrays only, so a resumed run continues with the same batches.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax._core.pacing import PacingCurriculum, PacingFamily, PacingOrder
from cgar_jax.sampling.mixers import draw_domains, odm_mixer
from cgar_jax.sampling.orders import folding_order, score_pruned_order


class Request(NamedTuple):
    """The input of `Sampling.draw`, for the batch of one training step.

    Attributes:
      key: random key of this step.
      progress: fraction of training done, float32 scalar.
      groups: puzzle index of each example of the ordered set, int32 `[num_examples]`, below
        `num_examples`.
      wanted: slots that need a fresh example, bool `[batch]`. Rows are drawn for the other slots as
        well, and ignored.
    """

    key: jax.Array
    progress: jax.Array
    groups: jax.Array
    wanted: jax.Array

    @property
    def num_examples(self) -> int:
        """Number of examples in the ordered training set."""
        return self.groups.shape[0]


def _keep_state(state: Any, losses: jax.Array, domain_ids: jax.Array, where: jax.Array) -> Any:
    del losses, domain_ids, where
    return state


class Sampling(NamedTuple):
    """Pure functions that choose training examples.

    Rows are positions in the ordered training set, which `order` defines.

    Attributes:
      order: function `difficulty float [n] -> indices int [m]`, called once on the host: which
        examples to train on, in which order.
      init: function `() -> state`, where the state is a pytree of arrays.
      draw: function `(state, Request) -> (rows int32 [batch], state)`.
      update: function `(state, losses, domain_ids, where) -> state`, called after each step with
        arrays `[batch]`. The `domain_ids` are groups of equal size by difficulty.
    """

    order: Callable[[np.ndarray], Any]
    init: Callable[[], Any]
    draw: Callable[[Any, Request], tuple[jax.Array, Any]]
    update: Callable[[Any, jax.Array, jax.Array, jax.Array], Any] = _keep_state


def uniform_sampling() -> Sampling:
    """Returns a sampling that draws all examples with equal probability, with replacement.

    Use it as the baseline.

    Returns:
      A `Sampling` without state.

    Example:
      >>> import numpy as np
      >>> from cgar_jax import sampling
      >>> sampling.uniform_sampling().order(np.array([3.0, 1.0, 2.0]))
      array([0, 1, 2])

    Reference:
      Common practice, without a paper.
    """
    return Sampling(lambda difficulty: np.arange(len(difficulty)), tuple, _draw_below())


def pacing_subset_sampling(
    start_fraction: float = 0.2,
    full_at: float = 0.8,
    family: PacingFamily = "linear",
    order: PacingOrder = "curriculum",
    seed: int = 0,
) -> Sampling:
    """Returns a sampling that starts with the easiest examples and adds harder ones.

    Batches are drawn uniformly, with replacement, from the examples that
    `cgar_jax.curricula.pacing_subset_curriculum` has in use.

    Args:
      start_fraction: share of the examples at the start, in [0, 1].
      full_at: progress at which all examples are in use, above 0.
      family: shape of the growth, see `cgar_jax.curricula.pacing_subset_curriculum`.
      order: which examples come first, `"curriculum"` (the easiest), `"anti"` (the hardest) or
        `"random"`.
      seed: random seed of the order `"random"`.

    Returns:
      A `Sampling` without state.

    Raises:
      ValueError: if a setting is out of range.

    Example:
      >>> import numpy as np
      >>> from cgar_jax import sampling
      >>> print(sampling.pacing_subset_sampling().order(np.array([3.0, 1.0, 2.0])))
      [1 2 0]

    Reference:
      Vahidian et al., 2023, arXiv 2212.12712; see `cgar_jax.curricula.pacing_subset_curriculum` for
      the unconfirmed details.
    """
    curriculum = PacingCurriculum(start_fraction, full_at, family, order)
    return Sampling(
        lambda difficulty: curriculum.order_examples(difficulty, jax.random.key(seed)),
        tuple,
        _draw_below(lambda request: curriculum.count(request.progress, request.num_examples)),
    )


def score_pruned_sampling(keep: float, drop_top: float = 0.0) -> Sampling:
    """Returns a sampling of the hardest examples only, optionally without the very hardest.

    Batches are drawn uniformly, with replacement, from the examples of `score_pruned_order`.

    Args:
      keep: fraction of all examples to keep, in (0, 1].
      drop_top: fraction of all examples to drop at the top as likely label noise, in
        [0, 1 - keep].

    Returns:
      A `Sampling` without state.

    Raises:
      ValueError: if a fraction is out of range, when the examples are ordered.

    Example:
      >>> import numpy as np
      >>> from cgar_jax import sampling
      >>> print(sampling.score_pruned_sampling(keep=0.5).order(np.array([3.0, 1.0, 2.0, 0.0])))
      [0 2]

    Reference:
      Paul, Ganguli and Dziugaite, 2021, arXiv 2107.07075; see `score_pruned_order`.
    """
    return Sampling(
        lambda difficulty: score_pruned_order(difficulty, keep, drop_top), tuple, _draw_below()
    )


def folding_sampling(folds: int = 3, ascending: bool = True) -> Sampling:
    """Returns a sampling that visits the examples in the order of `folding_order`, repeatedly.

    Args:
      folds: number of passes from low to high difficulty in each visit of the training set.
      ascending: whether the difficulty rises within a fold.

    Returns:
      A `Sampling` whose state is the position in the training set.

    Raises:
      ValueError: if `folds` is less than 1, when the examples are ordered.

    Example:
      >>> import numpy as np
      >>> from cgar_jax import sampling
      >>> print(sampling.folding_sampling(folds=2).order(np.arange(6.0)))
      [0 2 4 1 3 5]

    Reference:
      Dai et al., 2025, arXiv 2506.21545; see `folding_order`.
    """

    def draw(position, request):
        turns = position + jnp.cumsum(request.wanted, dtype=jnp.int32)
        return (turns - 1) % request.num_examples, turns[-1] % request.num_examples

    return Sampling(
        lambda difficulty: folding_order(difficulty, folds, ascending),
        lambda: jnp.zeros([], jnp.int32),
        draw,
    )


def epoch_sampling(seed: int = 0) -> Sampling:
    """Returns a sampling that visits every puzzle once per epoch, in a new random order.

    All examples of a puzzle follow one another, also in a new order each time. Each draw sorts the
    whole set, which takes milliseconds for a hundred thousand examples; stream larger sets instead.

    Args:
      seed: random seed of the orders.

    Returns:
      A `Sampling` whose state is the epoch and the position in it.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> epochs = sampling.epoch_sampling()
      >>> request = sampling.Request(
      ...     key=jax.random.key(0),
      ...     progress=jnp.float32(0),
      ...     groups=jnp.arange(4),
      ...     wanted=jnp.ones(4, bool),
      ... )
      >>> rows, state = epochs.draw(epochs.init(), request)
      >>> print(jnp.sort(rows), state[0])
      [0 1 2 3] 1

    Reference:
      Wang et al., 2025, "Hierarchical Reasoning Model" (HRM), arXiv 2506.21734: its published data
      loader visits each puzzle once per epoch. It drops examples that do not fill a batch; here
      they begin the next batch.
    """

    def order(epoch, groups):
        group_key, example_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), epoch))
        turns = jax.random.uniform(group_key, groups.shape)[groups]
        # Sorting by the group as well keeps groups apart that drew the same number.
        return jnp.lexsort((jax.random.uniform(example_key, groups.shape), groups, turns))

    def draw(state, request):
        epoch, position = state
        num, batch = request.num_examples, request.wanted.shape[0]
        turns = position + jnp.cumsum(request.wanted, dtype=jnp.int32)
        later = jnp.arange(-(-batch // num) + 1)  # the epochs that one batch can reach
        orders = jax.vmap(order, (0, None))(epoch + later, request.groups)
        rows = orders.reshape(-1)[jnp.maximum(turns - 1, 0)]
        return rows.astype(jnp.int32), (epoch + turns[-1] // num, turns[-1] % num)

    zero = functools.partial(jnp.zeros, [], jnp.int32)
    return Sampling(lambda difficulty: np.arange(len(difficulty)), lambda: (zero(), zero()), draw)


def odm_sampling(
    num_domains: int = 10, smoothing: float | None = 0.9, warmup_steps: int = 2000
) -> Sampling:
    """Returns a sampling that draws more from the levels of difficulty with the higher losses.

    The training set is sorted by difficulty and divided into `num_domains` levels of equal size,
    among which `odm_mixer` draws.

    Args:
      num_domains: number of levels of difficulty, at least 1. It must agree with the domains of the
        training set, `config.data.num_domains`.
      smoothing: decay of the moving average of the rewards, in [0, 1); None sums the rewards.
      warmup_steps: number of updates with uniform probabilities.

    Returns:
      A `Sampling` whose state is an `OnlineMixingState`.

    Raises:
      ValueError: if a setting is out of range.

    Example:
      >>> import numpy as np
      >>> from cgar_jax import sampling
      >>> by_level = sampling.odm_sampling(num_domains=3)
      >>> print(by_level.order(np.array([0.5, 0.1, 0.9])), by_level.init().rewards)
      [1 0 2] [0. 0. 0.]

    Reference:
      Albalak et al., 2023, arXiv 2312.02406; see `odm_mixer` for the unconfirmed details.
    """
    mixer = odm_mixer(num_domains, smoothing, warmup_steps)

    def draw(state, request):
        domain_key, row_key = jax.random.split(request.key)
        shape = request.wanted.shape
        domains = draw_domains(domain_key, mixer.probabilities(state), shape)
        # Domain k consists of the ranks r with r K // n = k.
        bounds = -(-np.arange(num_domains + 1) * request.num_examples // num_domains)
        first, end = jnp.asarray(bounds)[jnp.stack([domains, domains + 1])]
        return jax.random.randint(row_key, shape, first, end, jnp.int32), state

    return Sampling(
        lambda difficulty: np.argsort(difficulty, kind="stable"),
        mixer.init,
        draw,
        lambda state, losses, domain_ids, where: mixer.update(
            state, losses, domain_ids, where=where
        ),
    )


def _draw_below(count: Callable[[Request], Any] = lambda request: request.num_examples):
    """Returns a draw function that is uniform, with replacement, over the first `count` rows."""

    def draw(state, request):
        rows = jax.random.randint(request.key, request.wanted.shape, 0, count(request), jnp.int32)
        return rows, state

    return draw
