"""Mixers: probabilities of the domains (skills, sources, levels of difficulty) to draw from.

>>> import jax
>>> import jax.numpy as jnp
>>> from cgar_jax import sampling
>>> mixer = sampling.skill_it_mixer(graph=jnp.eye(2), learning_rate=1.0)
>>> probabilities = mixer.probabilities(mixer.init())
>>> print(probabilities, sampling.draw_domains(jax.random.key(0), probabilities, 4).shape)
[0.5 0.5] (4,)

A mixer is a triple of pure functions in the style of optax. Its state consists of arrays only, so
it can be part of a jitted step and of a checkpoint, and a resumed run continues with the same
mixture.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from cgar_jax._core.checks import check_shape
from cgar_jax._core.ids import known_ids
from cgar_jax._core.masking import valid_entries
from cgar_jax._core.random import own_key
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import check_name


class Mixer(NamedTuple):
    """Probabilities of K domains that follow the losses.

    Attributes:
      init: function `() -> state`.
      update: function `(state, losses, ...) -> state`. The function that made the mixer documents
        the other arguments.
      probabilities: function `state -> float32 [K]` whose values sum to 1; pass them to
        `draw_domains`.
    """

    init: Callable[[], Any]
    update: Callable[..., Any]
    probabilities: Callable[[Any], jax.Array]


class SkillItState(NamedTuple):
    """State of `skill_it_mixer`.

    Attributes:
      losses: losses of the last rounds, a ring buffer, float32 `[window, M]`.
      count: number of rounds so far, int32 scalar.
    """

    losses: jax.Array
    count: jax.Array


class OnlineMixingState(NamedTuple):
    """State of `odm_mixer`.

    Attributes:
      rewards: estimated reward of drawing from each domain, float32 `[K]`.
      count: number of updates so far, int32 scalar.
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
    """Returns a mixer that favors skills whose training helps the targets of high loss (Skill-it).

        p_i = prior_i exp(learning_rate sum_j A_ij L_j),  scaled to sum to 1

    where `L_j` is the sum of the validation losses of target j over the last `window` rounds.
    Before the first round, `L_j` is 1, or `prior_j` if a prior is given and every skill is a target
    (`K = M`). Use it for skills that build on each other. A higher `L_j` raises the
    ratio of `p_i` to `p_k` exactly if `A_ij > A_kj`, and `p_i` itself if `A_ij` is above the mean
    of column j under p. A constant added to all losses leaves p unchanged only if all rows of A
    have equal sums.

    Call `update(state, losses, *, where=None)` once per round, with one loss per target, `[M]`. A
    target that is False in `where`, bool `[M]`, was not evaluated and keeps its last loss.

    Args:
      graph: `A`, how much training on skill i helps target j, float `[K, M]`. The released code
        turns every 1 off the diagonal into 0.5.
      learning_rate: strength `eta` of the adaptation, at least 0; 0 keeps the prior. The paper
        tunes it for each task.
      window: number of rounds that count, at least 1.
      prior: prior weights of the skills, at least 0, `[K]`; None means equal weights. Their scale
        matters only before the first round.
      over_window: reduction over the rounds. The released code takes the `"mean"` if only some of
        the skills are targets.

    Returns:
      A `Mixer` with a `SkillItState`. The released code can also follow losses relative to the
      first ones; pass `losses / first_losses` for that.

    Raises:
      ValueError: if a setting is out of range or has the wrong shape, or `update` receives losses
        that are not `[M]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> mixer = sampling.skill_it_mixer(graph=jnp.eye(2), learning_rate=1.0)
      >>> state = mixer.update(mixer.init(), jnp.array([1.0, 2.0]))
      >>> [round(float(p), 2) for p in mixer.probabilities(state)]
      [0.27, 0.73]

    Reference:
      Chen et al., 2023, "Skill-it! A Data-Driven Skills Framework for Understanding and Training
      Language Models", arXiv 2307.14430, and its released code, which also takes the prior for the
      first losses. The default window of 3 is that of its scripts.
    """
    owner = "skill_it_mixer"
    graph = jnp.asarray(graph, jnp.float32)
    check_shape(owner, "graph", graph, ("skills", "targets"))
    check_number(owner, "learning_rate", learning_rate, "[0, inf)")
    check_number(owner, "window", window, "[1, inf)")
    check_name("over_window", over_window, ("sum", "mean"))
    skills, targets = graph.shape
    from_prior = prior is not None and skills == targets
    prior = jnp.asarray(jnp.ones(skills) if prior is None else prior, jnp.float32)
    check_shape(owner, "prior", prior, (skills,))

    def init():
        # Before the first round, one row counts; the first round overwrites this row.
        before = prior if from_prior else jnp.ones(targets, jnp.float32)
        return SkillItState(jnp.tile(before, (window, 1)), jnp.zeros([], jnp.int32))

    def update(state, losses, *, where=None):
        check_shape(owner, "losses", losses, (targets,))
        last = state.losses[(state.count - 1) % window]
        losses = jnp.where(valid_entries(where, (targets,)), losses, last).astype(jnp.float32)
        ring = state.losses.at[state.count % window].set(jax.lax.stop_gradient(losses))
        return SkillItState(ring, jnp.asarray(optax.safe_increment(state.count)))

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
    warmup_steps: chex.Numeric = 2000,
    axis_name: str | None = None,
) -> Mixer:
    """Returns a mixer that draws more from the domains of high loss, by a bandit (ODM).

        p_i = (1 - K e_t) softmax(e_(t-1) R)_i + e_t,   e_t = min(1 / K, sqrt(ln K / (K t)))

    after t updates: the policy of Exp3, which gives no domain less than `e_t`. An update rewards
    each domain of the batch with `r_i = (sum of its losses) / (batch size) / p_i`, where p are the
    probabilities before the update, from which the batch should be drawn:

        R_i = smoothing R_i + (1 - smoothing) r_i   with smoothing
        R_i = R_i + r_i                             without

    A domain that is not in the batch keeps its reward. Use it for mixed sources without validation
    sets. Smoothed rewards stop growing while `e_t` shrinks, so that the mixture returns to uniform
    in the end even if the losses stay apart; summed rewards give ordinary Exp3, where the highest
    loss takes most.

    Call `update(state, losses, domain_ids, *, where=None)` once per step, also inside a jitted
    step, with `losses`, float `[batch]`, and `domain_ids`, int `[batch]`. Examples that are False
    in `where`, bool `[batch]`, or whose id is outside `0 .. K - 1`, are ignored.

    Args:
      num_domains: number of domains `K`, at least 1.
      smoothing: decay of the moving average of the rewards, in [0, 1) (`alpha` in the paper); None
        sums the rewards instead.
      warmup_steps: number of updates with uniform probabilities; rewards are learned from the first
        update on.
      axis_name: mesh axis over which the batch is split, under `jax.shard_map`.

    Returns:
      A `Mixer` with an `OnlineMixingState`.

    Raises:
      ValueError: if a setting is out of range, or `update` receives losses or domains of the wrong
        shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> mixer = sampling.odm_mixer(num_domains=2, warmup_steps=0)
      >>> state = mixer.init()
      >>> for _ in range(20):
      ...     state = mixer.update(state, jnp.array([0.1, 3.0]), jnp.array([0, 1]))
      >>> [round(float(p), 2) for p in mixer.probabilities(state)]
      [0.44, 0.56]

    Reference:
      Albalak et al., 2023, "Efficient Online Data Mixing for Language Model Pre-Training", arXiv
      2312.02406. The policy agrees with the released code. The reward is likely but unconfirmed:
      the moving average with 0.9 is the paper's as its readers describe it, while the released code
      sums `loss / 10` (use `smoothing=None`, and pass losses divided by 10) and draws each batch
      from one domain. Splitting the reward over a mixed batch is ours, unbiased, and agrees with
      the released code for a batch of one. The default of 2,000 warm-up steps is from the
      configuration of DataFlex, which recommends about 1 % of the training steps.
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
        domain_ids, known = known_ids(owner, "domain_ids", domain_ids, num_domains)
        losses = jnp.asarray(losses)
        valid = valid_entries(where, losses.shape) & known
        losses = jax.lax.stop_gradient(jnp.where(valid, losses, 0).astype(jnp.float32))
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
        return OnlineMixingState(rewards, jnp.asarray(optax.safe_increment(state.count)))

    return Mixer(init, update, probabilities)


def draw_domains(
    key: jax.Array, probabilities: chex.Array, shape: int | Sequence[int]
) -> jax.Array:
    """Draws domains independently, by their probabilities.

    Args:
      key: random key.
      probabilities: weight of each domain, at least 0, `[K]`; they need not sum to 1. A domain with
        probability 0 is never drawn.
      shape: shape of the result, such as the batch size.

    Returns:
      Domains in `0 .. K - 1`, int32 of the requested shape.

    Raises:
      ValueError: if `probabilities` is not a vector.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from cgar_jax import sampling
      >>> print(sampling.draw_domains(jax.random.key(0), jnp.array([0.0, 1.0, 0.0]), 4))
      [1 1 1 1]
    """
    probabilities = jnp.asarray(probabilities, jnp.float32)
    check_shape("draw_domains", "probabilities", probabilities, ("domains",))
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    logits = jnp.log(probabilities)
    drawn = jax.random.categorical(own_key("draw_domains", key), logits, shape=shape)
    return drawn.astype(jnp.int32)
