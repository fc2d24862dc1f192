"""The options of the one recursion, with which published models differ from TRM.

Each option is neutral by default, and the recursion then computes TRM bit for bit. The page
[Published models](https://cgar-jax.github.io/cgar_jax/published_models/) has the table of options
and models.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from cgar_jax._core.depth import Depth
from cgar_jax._core.ranges import check_integer, check_number
from cgar_jax._core.registry import check_name
from cgar_jax.models import Model

GRADIENT_CALLS = ("all", "last")


@dataclasses.dataclass(frozen=True)
class RecursionOptions:
    r"""The choices in a deep recursion besides its depth.

        call(s, injection) = (1 - rate) s + rate f(s + injection) + noise e,    e ~ N(0, 1)

    Attributes:
      rate: share of a state that a network call replaces, in (0, 1]; 0.95 in EqR.
      noise: standard deviation of the noise that every network call adds; 0.01 in EqR.
      gradient_cycles: number of cycles, counted from the last one, that run with gradient; 0 means
        all.
      gradient_calls: which calls of these cycles run with gradient: `"all"`, or `"last"` for only
        the last call of each state in the last cycle (HRM).
      transition_probability: probability, for each example and step, that the gradient also passes
        through the answer update of the cycle before the last one; 0.01 in RSM.
      starts_at_question: whether all states of an example begin as its embedded question instead of
        the model's initial states.
      joins_exits: whether the gradient of an exit also passes through the recursion up to the exits
        before it, in a step with several exits; with an exit after each cycle, every cycle is then
        supervised and differentiated as in a recurrent network.

    Raises:
      ValueError: if a setting is out of range, or two of them do not go together.

    Example:
      >>> from cgar_jax.recursion import RecursionOptions
      >>> RecursionOptions(rate=0.95, noise=0.01).needs_draws
      True

    Reference:
      Rate and noise: Huang, Geng and Kolter, 2026, arXiv 2605.21488 (EqR). Last
      calls: Wang et al., 2025, arXiv 2506.21734 (HRM). Transition: Hakimi, 2026, arXiv 2603.15641
      (RSM). All as in the released code. Question and exits: Palm, Paquet and Winther, 2018, arXiv
      1711.08028 (recurrent relational networks), whose start is an MLP of the question.
    """

    rate: float = 1.0
    noise: float = 0.0
    gradient_cycles: int = 1
    gradient_calls: Literal["all", "last"] = "all"
    transition_probability: float = 0.0
    starts_at_question: bool = False
    joins_exits: bool = False

    def __post_init__(self):
        check_number("recursion", "rate", self.rate, "(0, 1]")
        check_number("recursion", "noise", self.noise, "[0, inf)")
        check_integer("recursion", "gradient_cycles", self.gradient_cycles, "[0, inf)")
        check_name("recursion.gradient_calls", self.gradient_calls, GRADIENT_CALLS)
        check_number("recursion", "transition_probability", self.transition_probability, "[0, 1]")
        one_whole_cycle = self.gradient_cycles == 1 and self.gradient_calls == "all"
        if self.gradient_calls == "last" and self.gradient_cycles != 1:
            raise ValueError(
                "recursion: gradient_calls='last' is part of the last cycle, so it needs "
                f"gradient_cycles=1, not {self.gradient_cycles}"
            )
        if self.transition_probability and not one_whole_cycle:
            raise ValueError(
                "recursion: transition_probability adds one call before the last cycle, so it "
                "needs gradient_cycles=1 and gradient_calls='all'"
            )

    @property
    def needs_draws(self) -> bool:
        """Whether a deep recursion needs `Draws`."""
        return self.noise > 0 or self.transition_probability > 0

    def without_gradient(self, depth: Depth, num_states: int) -> tuple[int, int]:
        """Returns how a deep recursion begins without gradient.

        Args:
          depth: depth of the deep recursion.
          num_states: number of states, 1 or 2.

        Returns:
          `(cycles, updates)`: whole cycles, and then latent updates of the next cycle.
        """
        if self.transition_probability and depth.T > 1:
            return depth.T - 2, depth.n
        if self.gradient_calls == "last":
            return depth.T - 1, depth.n + 1 - num_states
        return depth.T - min(self.gradient_cycles or depth.T, depth.T), 0

    def calls_with_gradient(self, depth: Depth, num_states: int) -> int:
        """Returns the number of network calls of a supervision step that run with gradient.

        Args:
          depth: depth of the step.
          num_states: number of states, 1 or 2.
        """
        calls = 0
        for segment in depth.segments:
            cycles, updates = self.without_gradient(segment, num_states)
            calls += (segment.T - cycles) * (segment.n + 1) - updates
        return calls


PLAIN = RecursionOptions()
"""The options of TRM."""


class Draws(NamedTuple):
    """What is random in a deep recursion.

    Attributes:
      noise: function from the number of a network call, from 0, to standard normal numbers; they
        have the shape of the states.
      transition: whether the gradient passes through the answer update before the last cycle, bool;
        broadcasts against the states.
    """

    noise: Callable[[jax.Array], jax.Array]
    transition: jax.Array


def keys_of_step(keys: jax.Array, step: jax.typing.ArrayLike) -> jax.Array:
    """Returns the key of each example for one of its supervision steps.

    Args:
      keys: random key of each example, `[batch]`.
      step: supervision steps that each example has taken before, int `[batch]` or a scalar.
    """
    return jax.vmap(jax.random.fold_in)(keys, jnp.broadcast_to(step + 1, keys.shape))


def draw(keys: jax.Array, model: Model, options: RecursionOptions) -> Draws | None:
    """Draws what a deep recursion needs; each example's draws depend only on its own key.

    Args:
      keys: random key of each example, `[batch]`.
      model: the model.
      options: options of the recursion.

    Returns:
      The draws; None if the options need none.
    """
    if not options.needs_draws:
        return None
    shape, axis = model.state_shape, model.batch_axis

    def noise(call):
        def draw(key):
            return jax.random.normal(jax.random.fold_in(key, call), shape)

        return jax.vmap(draw, out_axes=axis)(keys)

    def happens(key):
        ones = (1,) * len(shape)
        return jax.random.bernoulli(key, options.transition_probability, ones)

    return Draws(noise, jax.vmap(happens, out_axes=axis)(keys))
