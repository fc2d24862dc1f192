"""Mixers: from which domain (skill, source, level of difficulty) the next examples come.

A mixer is a pair of pure functions and what reads them, like optax's. Its state is arrays alone: it
is jitted and checkpointed with everything else, and a resumed run goes on with the same mixture.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_number, check_shape
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.random import own_key
from cgar_jax._core.registry import check_name


class Mixer(NamedTuple):
    """Probabilities of K domains that follow the losses.

    Attributes:
      init: ``() -> state``.
      update: ``(state, losses, ...) -> state``; what else it takes is said by what made the mixer.
      probabilities: ``state -> float32 [K]``, which sum to 1; see `draw_domains`.
    """

    init: Callable[[], chex.ArrayTree]
    update: Callable[..., chex.ArrayTree]
    probabilities: Callable[[chex.ArrayTree], jax.Array]


class SkillItState(NamedTuple):
    """State of `skill_it_mixer`.

    Attributes:
      losses: float32 ``[window, M]``, a ring of the losses of the last rounds.
      count: int32 scalar, the rounds so far.
    """

    losses: jax.Array
    count: jax.Array


class OnlineMixingState(NamedTuple):
    """State of `odm_mixer`.

    Attributes:
      rewards: float32 ``[K]``, what drawing from each domain is estimated to be worth.
      count: int32 scalar, the updates so far.
    """

    rewards: jax.Array
    count: jax.Array


def skill_it_mixer(
    graph: chex.Array,
    learning_rate: chex.Numeric,
    window: int = 3,
    prior: chex.Array | None = None,
    over_window: Literal["sum", "mean"] = "sum",
) -> Mixer:
    """Mix skills by the losses of those that they help: train on what unlocks what is still hard.

    ``p_i = prior_i exp(learning_rate sum_j A_ij L_j)``, scaled to sum to 1; ``L_j`` is the sum over
    the last ``window`` rounds of the validation loss of skill j, and 1 before the first round.

    ``update(state, losses, *, where=None)`` once a round: ``losses [M]``, one for each target. One
    with ``where`` (bool ``[M]``) False was not evaluated and keeps its last loss.

    A higher ``L_j`` raises ``p_i / p_k`` exactly if ``A_ij > A_kj``, and ``p_i`` itself if ``A_ij``
    is above the mean of that column under p. A constant added to all losses changes nothing only if
    the rows of A have the same sum.

    Args:
      graph: ``A``, float ``[K, M]``: how much training on skill i helps target j. The released code
        has 1 on the diagonal and turns the 0 / 1 edges off it into 0.5.
      learning_rate: ``eta``, 0 or more; 0 leaves the prior. The paper tunes it for each task.
      window: 1 or more, how many rounds count.
      prior: ``[K]``, 0 or more; None is all alike.
      over_window: ``"mean"`` averages the rounds instead, as the released code does with targets
        that are not trained on.

    Returns:
      A `Mixer` with a `SkillItState`. To follow losses relative to the first ones, as an option of
      the released code does, pass ``losses / first_losses``.

    Raises:
      ValueError: a setting out of its range or of another shape; losses that are not ``[M]``.

    Source: Chen et al., Skill-it! A Data-Driven Skills Framework for Understanding and Training
    Language Models, 2023, arXiv 2307.14430; certain (released code), but for the window of 3, which
    is likely.
    """
    owner = "skill_it_mixer"
    graph = jnp.asarray(graph, jnp.float32)
    check_shape(owner, "graph", graph, ("skills", "targets"))
    check_number(owner, "learning_rate", learning_rate, "[0, inf)")
    check_number(owner, "window", window, "[1, inf)")
    check_name("over_window", over_window, ("sum", "mean"))
    skills, targets = graph.shape
    prior = jnp.asarray(jnp.ones(skills) if prior is None else prior, jnp.float32)
    check_shape(owner, "prior", prior, (skills,))

    def init():
        # The row of ones that counts before the first round is where that round will be written.
        return SkillItState(jnp.ones((window, targets), jnp.float32), jnp.zeros([], jnp.int32))

    def update(state, losses, *, where=None):
        check_shape(owner, "losses", losses, (targets,))
        last = state.losses[(state.count - 1) % window]
        losses = jnp.where(valid_entries(where, (targets,)), losses, last).astype(jnp.float32)
        ring = state.losses.at[state.count % window].set(jax.lax.stop_gradient(losses))
        return SkillItState(ring, optax.safe_increment(state.count))

    def probabilities(state):
        rounds = jnp.clip(state.count, 1, window)
        counts = jnp.arange(window) < rounds
        recent = jnp.sum(state.losses, axis=0, where=counts[:, None])
        if over_window == "mean":
            recent = recent / rounds
        pull = jnp.dot(graph, recent, precision=jax.lax.Precision.HIGHEST)
        return jax.nn.softmax(jnp.log(prior) + jnp.asarray(learning_rate, jnp.float32) * pull)

    return Mixer(init, update, probabilities)


def odm_mixer(
    num_domains: int,
    smoothing: chex.Numeric | None = 0.9,
    warmup_steps: chex.Numeric = 1000,
    axis_name: str | None = None,
) -> Mixer:
    """Online data mixing (ODM): a bandit that draws more from the domains of high loss.

    After t updates ``p_i = (1 - K e_t) softmax(e_(t-1) R)_i + e_t``, the policy of Exp3, with
    ``e_t = min(1 / K, sqrt(ln K / (K t)))``, so that no domain has less than ``e_t``. In an update,
    each domain of the batch is rewarded with ``r_i = (sum of its losses) / (batch size) / p_i``,
    where p, the probabilities of the state so far, are what the batch should be drawn by::

        R_i = smoothing R_i + (1 - smoothing) r_i       or       R_i = R_i + r_i

    with and without ``smoothing``. A domain that is not in the batch keeps its reward. Smoothed
    rewards stop growing while ``e_t`` shrinks, so with losses that stay apart the mixture still
    comes back to even in the end; with summed ones, Exp3 as known, the highest loss takes most.

    ``update(state, losses, domain_ids, *, where=None)`` once a step, also within a jitted one:
    ``losses [batch]``, ``domain_ids`` int ``[batch]``, where an id outside ``0 .. K - 1`` does not
    count, nor does what has ``where`` (bool ``[batch]``) False.

    Args:
      num_domains: ``K``, 1 or more.
      smoothing: in [0, 1), ``alpha`` in the paper; None sums the rewards.
      warmup_steps: how many updates the probabilities stay even for; rewards are learned from the
        first.
      axis_name: under `jax.shard_map`, the mesh axis that the batch is split over.

    Returns:
      A `Mixer` with an `OnlineMixingState`.

    Raises:
      ValueError: a setting out of its range; losses and domains of other shapes.

    Source: Albalak et al., Efficient Online Data Mixing for Language Model Pre-Training, 2023,
    arXiv 2312.02406. The policy is certain (released code). The reward is likely: the moving
    average with 0.9 is the paper's as its readers have it; the released code sums ``loss / 10``
    (``smoothing=None``, and pass losses divided by 10). It draws a batch from one domain; the share
    of a mixed batch is ours, unbiased, and the same for a batch of one. The 1,000 steps are from
    DataFlex.
    """
    owner = "odm_mixer"
    check_number(owner, "num_domains", num_domains, "[1, inf)")
    check_number(owner, "smoothing", smoothing, "[0, 1)")
    check_number(owner, "warmup_steps", warmup_steps, "[0, inf)")

    def exploration(count):
        steps = jnp.maximum(count, 1).astype(jnp.float32)
        return jnp.minimum(1 / num_domains, jnp.sqrt(jnp.log(num_domains) / num_domains / steps))

    def init():
        return OnlineMixingState(jnp.zeros(num_domains, jnp.float32), jnp.zeros([], jnp.int32))

    def probabilities(state):
        floor = exploration(state.count)
        policy = jax.nn.softmax(exploration(state.count - 1) * state.rewards)
        mixed = (1 - num_domains * floor) * policy + floor
        return jnp.where(state.count < warmup_steps, 1 / num_domains, mixed)

    def update(state, losses, domain_ids, *, where=None):
        check_shape(owner, "losses", losses, ("batch",))
        check_shape(owner, "domain_ids", domain_ids, jnp.shape(losses))
        losses, domain_ids = jnp.asarray(losses), jnp.asarray(domain_ids)
        valid = valid_entries(where, losses.shape)
        losses = jax.lax.stop_gradient(jnp.where(valid, losses, 0).astype(jnp.float32))
        # It drops what has an id outside of 0 .. num_domains - 1.
        total, drawn = (
            jax.ops.segment_sum(values, domain_ids, num_domains)
            for values in (losses, valid.astype(jnp.float32))
        )
        if axis_name is not None:
            total, drawn = jax.lax.psum((total, drawn), axis_name)
        reward = total / jnp.maximum(jnp.sum(drawn), 1) / probabilities(state)
        if smoothing is not None:
            rate = jnp.asarray(smoothing, jnp.float32)
            rewards = rate * state.rewards + (1 - rate) * reward
        else:
            rewards = state.rewards + reward
        rewards = jnp.where(drawn > 0, rewards, state.rewards)
        return OnlineMixingState(rewards, optax.safe_increment(state.count))

    return Mixer(init, update, probabilities)


def draw_domains(
    key: jax.Array, probabilities: chex.Array, shape: int | Sequence[int]
) -> jax.Array:
    """Draw domains by their probabilities, independently.

    Args:
      key: random key.
      probabilities: ``[K]``, 0 or more; they need not sum to 1. A domain of 0 is never drawn.
      shape: of the result, such as the batch size.

    Returns:
      int32 of that shape, in ``0 .. K - 1``.

    Raises:
      ValueError: probabilities of another shape.
    """
    probabilities = jnp.asarray(probabilities, jnp.float32)
    check_shape("draw_domains", "probabilities", probabilities, ("domains",))
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    logits = jnp.log(probabilities)
    return jax.random.categorical(own_key("draw_domains", key), logits, shape=shape)
