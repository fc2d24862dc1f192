"""Times this library's attention beside the kernels that JAX can call, forward and backward.

    python benchmarks/attention_rate.py                    # on a GPU
    python benchmarks/attention_rate.py --batch_size=8     # on a CPU

The lengths are those of a 9x9 Sudoku and of a 30x30 maze, each with 16 positions for the puzzle
embedding; the 97 of Sudoku are rounded up to 98, because cuDNN takes only even lengths. Each call
computes the gradient of one attention over random queries, keys and values; the implementations
take turns. `ours` is `cgar_jax.layers.attend`; `xla` and `cudnn` are
`jax.nn.dot_product_attention`, with the axes in the order that it expects.

Not covered: projections and rotary positions, which are the same for all.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from absl import flags
from measuring import Spread, timed
from rich.console import Console
from rich.table import Table

from cgar_jax.commands import runner
from cgar_jax.layers import attend

HEADS, HEAD_SIZE = 8, 64


def implementations() -> dict[str, tuple[Callable[..., jax.Array], bool]]:
    """Returns the functions by name, each with whether the heads come before the positions."""
    names = ("xla", "cudnn") if jax.default_backend() == "gpu" else ("xla",)
    from_jax = {
        name: (functools.partial(jax.nn.dot_product_attention, implementation=name), False)
        for name in names
    }
    return {"ours": (attend, True)} | from_jax


def compiled(
    attention: Callable[..., jax.Array], heads_first: bool, sizes: tuple[int, int]
) -> Callable[[], jax.Array]:
    """Returns a call that computes the gradient of one attention.

    Args:
      attention: the attention function.
      heads_first: whether its arrays are `[batch, heads, length, head_size]`; otherwise `length`
        comes before `heads`.
      sizes: batch size and length.
    """
    batch_size, length = sizes
    order = (HEADS, length) if heads_first else (length, HEADS)
    shape = (4, batch_size, *order, HEAD_SIZE)
    *inputs, wanted = jax.random.normal(jax.random.key(0), shape, jnp.bfloat16)

    @jax.jit
    def gradient(query, key, value, wanted):
        attended, pull = jax.vjp(attention, query, key, value)
        return attended, pull(wanted)

    return functools.partial(gradient, *inputs, wanted)


def measure(sizes: tuple[int, int], turns: int) -> dict[str, Spread]:
    """Returns the seconds of a call of each implementation.

    Args:
      sizes: batch size and length.
      turns: number of times that each is timed.
    """
    calls = {name: compiled(*found, sizes) for name, found in implementations().items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            _, passed = timed(call)
            if turn:  # the first turn compiles
                seconds[name].append(passed)
    return {name: Spread.of(found) for name, found in seconds.items()}


def define_flags() -> None:
    """Defines this benchmark's flags."""
    flags.DEFINE_integer("batch_size", 768, "puzzles of 98 positions; a tenth of 916", 10)
    flags.DEFINE_integer("turns", 20, "number of times that everything is timed", lower_bound=1)


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    title = f"attention forward and backward in bfloat16, {jax.local_devices()[0].device_kind}"
    shown = Table("batch x positions", *implementations(), title=title)
    for sizes in ((values.batch_size, 98), (values.batch_size // 10, 916)):
        spreads = measure(sizes, values.turns).values()
        name = f"{sizes[0]} x {sizes[1]}"
        shown.add_row(name, *(spread.show(".3g", "ms", factor=1e3) for spread in spreads))
    Console(highlight=False).print(shown)


if __name__ == "__main__":
    runner.main(define_flags, main, required=[])
