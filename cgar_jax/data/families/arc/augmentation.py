"""Makes variants of ARC pairs on the device, from the pair, a row of a table and a place."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax.data.families.arc.grids import END, FIRST_COLOUR, PAD

# As published, one pair of each puzzle is not moved: of four, which is usual, a quarter.
CORNER_SHARE = 0.25


def augment(
    firsts: jax.Array,
    transforms: jax.Array,
    colours: jax.Array,
    key: jax.Array,
    examples: Mapping[str, jax.Array],
) -> dict[str, jax.Array]:
    """Draws a variant for each puzzle of a batch and a place on the canvas for each pair.

    All pairs of a puzzle that are in the batch together get the same variant; all variants of a
    puzzle are equally likely. A quarter of the pairs stays in the corner, where the tests are too.

    Args:
      firsts: see `Variants`.
      transforms: see `Variants`.
      colours: see `Variants`.
      key: a typed random key.
      examples: a batch with ``inputs`` and ``labels``, integer ``[batch, size * size]``, as
        `encode` has them, labels `IGNORE_LABEL` instead of ``PAD``; and ``puzzle_identifiers``,
        those of the puzzles themselves.

    Returns:
      The batch with the grids and identifiers of the variants, all else as it was.
    """
    variant_key, corner_key, place_key = jax.random.split(key, 3)
    puzzles = jnp.searchsorted(firsts, examples["puzzle_identifiers"], side="right") - 1
    draws = jax.vmap(lambda puzzle: jax.random.uniform(jax.random.fold_in(variant_key, puzzle)))
    # The product may round up to the number itself.
    counts = firsts[puzzles + 1] - firsts[puzzles]
    chosen = jnp.minimum((draws(puzzles) * counts).astype(jnp.int32), counts - 1)
    identifiers = firsts[puzzles] + chosen

    batch = len(identifiers)
    moved = jax.random.uniform(corner_key, (batch, 1)) >= CORNER_SHARE
    places = jnp.where(moved, jax.random.uniform(place_key, (batch, 2)), 0)
    turn = jax.vmap(render, in_axes=(0, 0, 0, 0, 0))
    variant = transforms[identifiers], colours[identifiers]
    inputs, labels = turn(examples["inputs"], examples["labels"], *variant, places)
    return {**examples, "inputs": inputs, "labels": labels, "puzzle_identifiers": identifiers}


def render(
    question: jax.Array,
    answer: jax.Array,
    transform: jax.Array,
    colours: jax.Array,
    place: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Makes one pair of a variant.

    Args:
      question: tokens as `encode` has them, integer ``[size * size]``.
      answer: likewise, or with `IGNORE_LABEL` instead of ``PAD``.
      transform: scalar, a symmetry of `cgar_jax.data.dihedral`.
      colours: what each colour becomes, ``[10]``.
      place: how far the pair is moved down and to the right, in shares of the room there is,
        ``[2]`` in [0, 1).

    Returns:
      Tokens of question and answer, ``int32 [size * size]``, the answer with `IGNORE_LABEL` instead
      of ``PAD``.
    """
    size = round(question.size**0.5)
    shapes = [_turned_shape(tokens.reshape(size, size), transform) for tokens in (question, answer)]
    room = size - jnp.maximum(*shapes) + 1
    corner = jnp.minimum((place * room).astype(jnp.int32), room - 1)
    question, answer = (
        _render_grid(tokens.reshape(size, size), shape, transform, colours, corner)
        for tokens, shape in zip((question, answer), shapes, strict=True)
    )
    return question, jnp.where(answer == PAD, IGNORE_LABEL, answer)


def _swaps_axes(transform: jax.Array) -> jax.Array:
    return jnp.isin(transform, jnp.array([1, 3, 6, 7]))


def _turned_shape(canvas: jax.Array, transform: jax.Array) -> jax.Array:
    is_colour = canvas >= FIRST_COLOUR
    shape = jnp.stack([is_colour[:, 0].sum(), is_colour[0].sum()])
    return jnp.where(_swaps_axes(transform), shape[::-1], shape)


def _render_grid(canvas, shape, transform, colours, corner) -> jax.Array:
    """Fills a canvas cell by cell: each asks which cell of the given one it shows."""
    cells = jnp.arange(len(canvas))
    row, column = jnp.meshgrid(cells - corner[0], cells - corner[1], indexing="ij")
    height, width = shape
    swaps = _swaps_axes(transform)
    flips_rows = jnp.isin(transform, jnp.array([2, 3, 5, 7]))
    flips_columns = jnp.isin(transform, jnp.array([1, 2, 4, 7]))
    # Sizes of the grid before it was turned.
    old_height, old_width = (jnp.where(swaps, a, b) for a, b in ((width, height), (height, width)))
    old_row, old_column = (jnp.where(swaps, a, b) for a, b in ((column, row), (row, column)))
    old_row = jnp.where(flips_rows, old_height - 1 - old_row, old_row)
    old_column = jnp.where(flips_columns, old_width - 1 - old_column, old_column)
    colour = canvas.at[old_row, old_column].get(mode="clip") - FIRST_COLOUR
    inside = (row >= 0) & (column >= 0) & (row < height) & (column < width)
    below = (row == height) & (column >= 0) & (column < width)
    right = (column == width) & (row >= 0) & (row < height)
    new_colour = colours.astype(jnp.int32).at[colour].get(mode="clip") + FIRST_COLOUR
    tokens = jnp.where(inside, new_colour, jnp.where(below | right, END, PAD))
    return tokens.reshape(-1)
