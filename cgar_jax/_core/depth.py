"""The depth of one supervision step: a plain, hashable value.

The reusable rooms and the recursion share it. How a depth runs is described in
`cgar_jax.recursion`; which depth runs at which moment of training is decided by a depth curriculum
of `cgar_jax.curricula`.
"""

import dataclasses
import itertools
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Depth:
    """The depth of one supervision step: T cycles of n latent recursions and one answer update.

    With n = 0 there is only one state: a cycle is one network call, and the answer is read and
    supervised after each of them, as in candidate elimination.

    `Depth` is hashable and compares by value, so it can be a static argument of a compiled
    function. Every depth is its own program, and a shallow program really is cheaper.

    Attributes:
      n: number of latent recursions `z <- f(x + y + z)` in each cycle, int, at least 0.
      T: number of cycles, int, at least 1.
      exits: cycles after which the answer is read and supervised, increasing, ending with T.
        An empty tuple (the default) means only the last cycle, or all cycles if n is 0. A cycle
        that ends in an exit runs with gradient, all other cycles without.

    Raises:
      ValueError: if `n` is not an int from 0 or `T` not one from 1, or `exits` does not increase to
        `T`.

    Example:
      >>> from cgar_jax.curricula import Depth
      >>> depth = Depth(n=6, T=3)
      >>> depth.network_calls, depth.gradient_aware_cost
      (21, 35)

    Reference:
      Jolicoeur-Martineau, 2025, "Less is More: Recursive Reasoning with Tiny Networks", arXiv
      2510.04871. For `exits` see `cgar_jax.curricula.sorted_exits_curriculum`.
    """

    n: int
    T: int
    exits: tuple[int, ...] = ()

    def __post_init__(self):
        for name, value, least in (("n", self.n, 0), ("T", self.T, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name} of the depth ({self.n}, {self.T}) is {value!r}, but it must be an int "
                    f"from {least}; the full depth of TRM is Depth(n=6, T=3)"
                )
        exits = tuple(self.exits) or (tuple(range(1, self.T + 1)) if self.n == 0 else (self.T,))
        if exits[-1] != self.T or not all(a < b for a, b in itertools.pairwise((0, *exits))):
            raise ValueError(
                f"the exits of the depth ({self.n}, {self.T}) are {exits}, but they must increase "
                f"from 1 or more and end with the last cycle, {self.T}"
            )
        object.__setattr__(self, "exits", exits)

    def __str__(self) -> str:
        if self == self.full and self.n == 0:
            return f"{self.T} loops" if self.T > 1 else "1 loop"
        early = f" exits {', '.join(map(str, self.exits))}" if len(self.exits) > 1 else ""
        return f"({self.n}, {self.T}){early}"

    @property
    def full(self) -> "Depth":
        """The depth to evaluate with: the same cycles, read only after the last one."""
        return Depth(self.n, self.T)

    @property
    def segments(self) -> tuple["Depth", ...]:
        """The cycles between consecutive exits, one `Depth` per exit, to run one after another."""
        return tuple(
            Depth(self.n, end - begin) for begin, end in itertools.pairwise((0, *self.exits))
        )

    @property
    def num_exits(self) -> int:
        """Number of times that one supervision step reads and supervises the answer."""
        return len(self.exits)

    @property
    def network_calls(self) -> int:
        """Number of forward calls, `T (n + 1)`; the effective depth is this times the layers."""
        return self.T * (self.n + 1)

    @property
    def gradient_aware_cost(self) -> int:
        """Training cost in forward calls, `(T + 2 E)(n + 1)` for `E` exits.

        A backward pass counts as two forward passes; only the `E` cycles that end in an exit have
        one.
        """
        return (self.T + 2 * self.num_exits) * (self.n + 1)


def as_depth(depth: Depth | Sequence[int]) -> Depth:
    """Returns `depth`, converting a pair `(n, T)` to a `Depth`."""
    if isinstance(depth, Depth):
        return depth
    n, T = depth
    return Depth(n, T)
