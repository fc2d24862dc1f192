"""Functions of single examples, mapped over a batch of them in chunks that fit the memory."""

from collections.abc import Callable
from typing import Any

import jax

from cgar_jax._core.ranges import check_number


def map_examples(
    owner: str,
    function: Callable[[Any], Any],
    examples: Any,
    chunk_size: int | None,
) -> Any:
    """Returns the results of `function` for each example, stacked along the first axis.

    Args:
      owner: name of the calling function, for error messages.
      function: maps one example to a pytree of arrays.
      examples: pytree of arrays `[batch, ...]`.
      chunk_size: number of examples to compute at once; None computes all of them at once.

    Raises:
      ValueError: if `chunk_size` is less than 1.
    """
    if chunk_size is None:
        return jax.vmap(function)(examples)
    check_number(owner, "chunk_size", chunk_size, "[1, inf)")
    return jax.lax.map(function, examples, batch_size=chunk_size)
