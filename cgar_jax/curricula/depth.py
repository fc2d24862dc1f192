"""The depth of the recursion, and of which stages a curriculum of it is made.

A depth is static under ``jax.jit``: each stage is its own compiled step, and a shallow stage really
costs less. A traced depth would need a while loop, which has no reverse-mode gradient; where a
stage has several depths, its step holds all of them and runs one.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from cgar_jax._core.registry import check_name

# A boundary closer than this to a step's progress is at that step: 0.1 + 0.2 means 0.3. It is less
# than one step for any run of fewer than 1e9 steps, and far more than float64's rounding.
_TOLERANCE = 1e-9


class _Stateless:
    """What does not depend on how training has gone. See `PlateauDepths`."""

    def init(self, total_steps: int) -> tuple[()]:
        """Return the state of a run before its first step: there is none."""
        del total_steps
        return ()

    def update(self, state: tuple[()], loss: jax.Array, total_steps: int) -> tuple[()]:
        """Return the state after a step: as it was."""
        del loss, total_steps
        return state


@dataclasses.dataclass(frozen=True)
class Depth(_Stateless):
    """How deep one supervision step thinks: T cycles of n latent recursions and one answer update.

    Hashable, so that it can be a static argument of a compiled function.

    Attributes:
      n: latent recursions ``z <- f(x + y + z)`` in each cycle; int, at least 1.
      T: cycles; int, at least 1.
      exits: cycles after which the answer is read and supervised, increasing, the last of them T;
        by default T alone. A cycle that ends in an exit runs with gradient, the others without.

    Raises:
      ValueError: ``n`` or ``T`` is not a positive int; exits that do not increase to ``T``.

    Source: Jolicoeur-Martineau, 2025, arXiv 2510.04871; certain. For ``exits`` see
    `sorted_exits_curriculum`.
    """

    n: int
    T: int
    exits: tuple[int, ...] = ()

    def __post_init__(self):
        for name, value in (("n", self.n), ("T", self.T)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"depth ({self.n}, {self.T}): {name} is {value!r}, but it must be an int, "
                    "1 or more; the full depth of TRM is Depth(n=6, T=3)"
                )
        exits = tuple(self.exits) or (self.T,)
        if exits[-1] != self.T or not all(a < b for a, b in itertools.pairwise((0, *exits))):
            raise ValueError(
                f"depth ({self.n}, {self.T}): exits are {exits}, but they must be cycles that "
                f"increase from 1 or more to the last one, {self.T}"
            )
        object.__setattr__(self, "exits", exits)

    def __str__(self) -> str:
        early = f" exits {', '.join(map(str, self.exits))}" if len(self.exits) > 1 else ""
        return f"({self.n}, {self.T}){early}"

    @property
    def full(self) -> "Depth":
        """The depth to evaluate with: the same, read at its end alone."""
        return Depth(self.n, self.T)

    @property
    def segments(self) -> tuple["Depth", ...]:
        """One depth for each exit, run one after the other: the cycles from the exit before."""
        return tuple(
            Depth(self.n, end - begin) for begin, end in itertools.pairwise((0, *self.exits))
        )

    @property
    def depths(self) -> tuple["Depth"]:
        """What may run: this depth alone. For several see `NestedDepths`."""
        return (self,)

    @property
    def draws(self) -> tuple[tuple[float, "Depth"], ...]:
        """What may run, with its share of the steps: this depth, always."""
        return ((1.0, self),)

    @property
    def num_exits(self) -> int:
        """How many times a supervision step reads and supervises the answer."""
        return len(self.exits)

    @property
    def network_calls(self) -> int:
        """Forward calls of the network, ``T (n + 1)``; times its layers, the effective depth."""
        return self.T * (self.n + 1)

    @property
    def gradient_aware_cost(self) -> int:
        """Cost in forward calls, ``(T + 2 E)(n + 1)``, E exits: a backward costs two forwards."""
        return (self.T + 2 * self.num_exits) * (self.n + 1)

    def choose(self, state: tuple[()], key: jax.Array, progress: jax.Array) -> int:
        """Return the index of the depth of one step: 0."""
        del state, key, progress
        return 0


class _SeveralDepths:
    """Depths that share a stage: what a step of it costs on the whole, and the deepest of them."""

    depths: tuple[Depth, ...]
    probabilities: tuple[float, ...]

    @property
    def full(self) -> Depth:
        """The depth to evaluate with: the deepest."""
        return self.depths[-1]

    @property
    def draws(self) -> tuple[tuple[float, Depth], ...]:
        """What may run, with its share of the steps."""
        return tuple(zip(self.probabilities, self.depths, strict=True))

    @property
    def num_exits(self) -> int:
        """Each depth is read once, at its end."""
        return 1

    @property
    def network_calls(self) -> float:
        """Expected forward calls of the network, as `Depth.network_calls`."""
        return sum(probability * depth.network_calls for probability, depth in self.draws)

    @property
    def gradient_aware_cost(self) -> float:
        """Expected cost in forward calls, as `Depth.gradient_aware_cost`."""
        return sum(probability * depth.gradient_aware_cost for probability, depth in self.draws)


@dataclasses.dataclass(frozen=True)
class NestedDepths(_SeveralDepths, _Stateless):
    """Depths of which each optimizer step draws one for its whole batch.

    Depth i is the first cycles of depth i + 1: the networks are nested, and all their parameters
    are shared. Made by `nested_depth_curriculum`; frozen and hashable.

    Attributes:
      depths: ``Depth(n, T)`` with one n and increasing T; pairs ``(n, T)`` become `Depth`.
      probabilities: of each depth, summing to 1; by default all the same.

    Raises:
      ValueError: depths that are not nested or have exits of their own; probabilities that are not
        as many, are negative or do not sum to 1.
    """

    depths: tuple[Depth, ...]
    probabilities: tuple[float, ...] = ()

    def __post_init__(self):
        depths = tuple(as_depth(depth) for depth in self.depths)
        count = max(len(depths), 1)
        probabilities = tuple(map(float, self.probabilities)) or (1 / count,) * count
        nested = depths and all(a.n == b.n and a.T < b.T for a, b in itertools.pairwise(depths))
        if not (nested and all(depth == depth.full for depth in depths)):
            raise ValueError(
                f"the depths {', '.join(map(str, depths))} are not nested; they must have the same "
                "n, increasing T, and no exits, as (6, 1), (6, 2), (6, 3)"
            )
        proper = min(probabilities) >= 0 and abs(sum(probabilities) - 1) < 1e-6
        if len(probabilities) != len(depths) or not proper:
            raise ValueError(
                f"the probabilities of {len(depths)} depths are {probabilities}, but there must be "
                "one for each depth, 0 or more, and they must sum to 1"
            )
        object.__setattr__(self, "depths", depths)
        object.__setattr__(self, "probabilities", probabilities)

    def __str__(self) -> str:
        return " or ".join(map(str, self.depths))

    def choose(self, state: tuple[()], key: jax.Array, progress: jax.Array) -> jax.Array:
        """Draw the index of the depth of one step, int32 scalar, from a random key."""
        del state, progress
        return jax.random.choice(key, len(self.depths), p=jnp.asarray(self.probabilities))


@dataclasses.dataclass(frozen=True)
class PlateauDepths(_SeveralDepths):
    """Depths of which the next begins when the loss has stopped falling.

    The loss of a step is averaged over windows of steps. Once ``patience`` windows in a row have
    not brought the least mean so far down by the share ``improvement``, the next depth runs; from
    progress ``latest`` on it is the last one at any rate. Made by `plateau_depth_curriculum`;
    frozen and hashable. What it has seen is a state of arrays: `init`, and `update` after a step.

    Attributes:
      depths: two or more, each dearer than the one before; pairs ``(n, T)`` become `Depth`.
      latest: progress in (0, 1].
      window: part of training, in (0, 1], at least one step.
      patience: windows, at least 1.
      improvement: part of the least mean, in (0, 1).

    Raises:
      ValueError: depths or numbers that are not as above.
    """

    depths: tuple[Depth, ...]
    latest: float
    window: float
    patience: int
    improvement: float

    def __post_init__(self):
        depths = tuple(as_depth(depth) for depth in self.depths)
        costs = [depth.gradient_aware_cost for depth in depths]
        if len(depths) < 2 or not all(a < b for a, b in itertools.pairwise(costs)):
            raise ValueError(
                f"the depths {', '.join(map(str, depths))} do not grow; there must be two or more, "
                "each dearer than the one before, as (2, 1), (4, 2), (6, 3)"
            )
        if any(depth != depth.full for depth in depths):
            raise ValueError("depths that follow each other at plateaus have no exits of their own")
        in_range = 0 < self.latest <= 1 and 0 < self.window <= 1 and 0 < self.improvement < 1
        if not (in_range and self.patience >= 1):
            raise ValueError(
                f"latest is {self.latest}, window {self.window}, improvement {self.improvement} "
                f"and patience {self.patience}, but latest and window must be in (0, 1], "
                "improvement in (0, 1), and patience 1 or more"
            )
        object.__setattr__(self, "depths", depths)

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.depths))} at plateaus (planned: evenly spaced)"

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Shares of the steps as planned: when plateaus come is not known beforehand.

        The depths before the last share the time until ``latest`` evenly.
        """
        before = len(self.depths) - 1
        return (self.latest / before,) * before + (1 - self.latest,)

    def init(self, total_steps: int) -> optax.contrib.ReduceLROnPlateauState:
        """Return the state of a run before its first step."""
        return self._detector(total_steps).init(jnp.float32(0))

    def choose(
        self, state: optax.contrib.ReduceLROnPlateauState, key: jax.Array, progress: jax.Array
    ) -> jax.Array:
        """Return the index of the depth of one step, int32 scalar: plateaus so far.

        Args:
          state: of `init` or `update`.
          key: not used.
          progress: float32 scalar, share of training done.
        """
        del key
        last = len(self.depths) - 1
        # Each plateau has halved the scale, which is exact.
        plateaus = jnp.round(-jnp.log2(state.scale)).astype(jnp.int32)
        # Progress is float32 here: a moment early rather than a step late.
        return jnp.where(progress >= self.latest - 1e-6, last, plateaus)

    def update(
        self, state: optax.contrib.ReduceLROnPlateauState, loss: jax.Array, total_steps: int
    ) -> optax.contrib.ReduceLROnPlateauState:
        """Return the state after a step of this loss, float32 scalar."""
        return self._detector(total_steps).update({}, state, value=loss)[1]

    def _detector(self, total_steps: int) -> optax.GradientTransformationExtraArgs:
        """What lowers learning rates at plateaus, asked how often it would have halved one."""
        return optax.contrib.reduce_on_plateau(
            factor=0.5,
            patience=self.patience,
            rtol=self.improvement,
            accumulation_size=max(round(self.window * total_steps), 1),
            min_scale=0.5 ** (len(self.depths) - 1),
        )


StageDepth = Depth | NestedDepths | PlateauDepths
"""The depth of a stage."""


def as_depth(depth: StageDepth | Sequence[int]) -> StageDepth:
    """Return a depth as it is, and of a pair ``(n, T)`` the `Depth`."""
    return depth if isinstance(depth, StageDepth) else Depth(*depth)


class Stage(NamedTuple):
    """One stage of a run: ``depth`` for the optimizer steps ``first_step <= step < end_step``."""

    depth: StageDepth
    first_step: int
    end_step: int


@dataclasses.dataclass(frozen=True)
class DepthCurriculum:
    """A depth for every moment of training: ``curriculum(progress) -> Depth``, or several.

    Made by the functions of `cgar_jax.curricula`; frozen and hashable.

    Attributes:
      stages: the depths in their order, K of them; tuples ``(n, T)`` become `Depth`.
      boundaries: K - 1 floats, the progress at which the next stage begins.

    Raises:
      ValueError: no stage; not one boundary fewer than stages; boundaries that do not increase
        strictly or leave [0, 1]; a depth that is not of positive ints; `PlateauDepths` and
        other stages beside.
    """

    stages: tuple[StageDepth, ...]
    boundaries: tuple[float, ...] = ()

    def __post_init__(self):
        stages = tuple(as_depth(stage) for stage in self.stages)
        boundaries = tuple(float(boundary) for boundary in self.boundaries)
        if len(stages) != len(boundaries) + 1:
            raise ValueError(
                f"{len(stages)} stages and {len(boundaries)} boundaries, but there must be one "
                "stage more than boundaries; a boundary is where the next stage begins"
            )
        increase = all(a < b for a, b in itertools.pairwise(boundaries))
        if not (increase and all(0 <= boundary <= 1 for boundary in boundaries)):
            raise ValueError(
                f"boundaries are {boundaries}, but they must increase strictly and lie in [0, 1]"
            )
        if len(stages) > 1 and any(isinstance(stage, PlateauDepths) for stage in stages):
            raise ValueError("depths that change at plateaus must be the only stage")
        object.__setattr__(self, "stages", stages)
        object.__setattr__(self, "boundaries", boundaries)

    def init(self, total_steps: int) -> optax.contrib.ReduceLROnPlateauState | tuple[()]:
        """Return what `PlateauDepths` must remember; of any other depth that is nothing."""
        return self.stages[0].init(total_steps)

    def stage_index(self, progress: float) -> int:
        """Index of the stage at this progress: how many boundaries have been reached.

        Args:
          progress: fraction of training done, a number (not traced) in [0, 1].

        Raises:
          ValueError: ``progress`` is outside [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(
                f"progress is {progress}, but it must be in [0, 1]; pass step / total_steps"
            )
        return sum(progress >= boundary - _TOLERANCE for boundary in self.boundaries)

    @property
    def full_depth(self) -> Depth:
        """The depth to evaluate with: that of the last stage, the deepest of it."""
        return self.stages[-1].full

    def __call__(self, progress: float) -> StageDepth:
        """Depth of the stage at this progress, as in `stage_index`."""
        return self.stages[self.stage_index(progress)]

    def schedule(self, total_steps: int) -> list[Stage]:
        """Return the stages of a run of ``total_steps`` optimizer steps, in integer steps.

        A stage begins at step ``ceil(boundary * total_steps)``; one that has no step is left out.
        ``curriculum(step / total_steps)`` is the depth of the stage that holds ``step``.

        Raises:
          ValueError: ``total_steps`` is less than 1.
        """
        if total_steps < 1:
            raise ValueError(f"total_steps is {total_steps}, but it must be 1 or more")
        inner = (math.ceil((boundary - _TOLERANCE) * total_steps) for boundary in self.boundaries)
        steps = itertools.pairwise((0, *inner, total_steps))
        return [
            Stage(depth, first, end)
            for depth, (first, end) in zip(self.stages, steps, strict=True)
            if first < end
        ]

    def relative_cost(self, count: Literal["paper", "gradient_aware"] = "paper") -> float:
        """Cost of training relative to running its full depth all the time.

        ``sum over stages of (share of training) * cost(depth) / cost(full depth)``.

        Args:
          count: ``"paper"`` counts network calls, ``T (n + 1)`` (the effective depth; the layers
            cancel): 24.6 / 42 by default, the paper's 41.4 % reduction. It ignores that the cycle
            with gradient costs about three forward passes and every other cycle one.
            ``"gradient_aware"`` counts that: 22.7 / 35 by default, a reduction of 35.1 %.

        Raises:
          ValueError: another ``count``.

        Source: Qasim and Zhang, 2025, arXiv 2511.08653; the paper's count is certain by arithmetic.
        """
        check_name("count", count, _COSTS)
        cost = _COSTS[count]
        ends = itertools.pairwise((0.0, *self.boundaries, 1.0))
        shares = [end - begin for begin, end in ends]
        mean = sum(share * cost(depth) for share, depth in zip(shares, self.stages, strict=True))
        return mean / cost(self.full_depth)


_COSTS = {
    "paper": lambda depth: depth.network_calls,
    "gradient_aware": lambda depth: depth.gradient_aware_cost,
}
