"""Makes variants of ARC pairs on the device, from the pair, a row of `Variants` and a position."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cgar_jax._core.labels import IGNORE_LABEL
from cgar_jax.data.families.arc.grids import END, FIRST_COLOR, PAD
from cgar_jax.data.symmetries import Variants

# The published code leaves one pair of each puzzle in the corner; most puzzles have about four.
CORNER_SHARE = 0.25


def arc_augmentation(variants: Variants) -> jax.tree_util.Partial:
    """Returns `augment` with its tables as arguments, so that no program contains them."""
    return jax.tree_util.Partial(augment, variants.firsts, variants.transforms, variants.colors)


def augment(
    firsts: jax.Array,
    transforms: jax.Array,
    colors: jax.Array,
    key: jax.Array,
    examples: Mapping[str, jax.Array],
) -> dict[str, jax.Array]:
    """Draws a variant for each puzzle of a batch, and a position on the canvas for each pair.

    All pairs of a puzzle in one batch get the same variant; all variants of a puzzle are equally
    likely. A quarter of the pairs stays in the corner, where the tests are too.

    Args:
      firsts: see `Variants`.
      transforms: see `Variants`.
      colors: see `Variants`.
      key: typed random key.
      examples: batch with `inputs` and `labels`, integer `[batch, size * size]`, as from `encode`
        but with `IGNORE_LABEL` instead of `PAD` in the labels; and `puzzle_identifiers`, those of
        the puzzles themselves.

    Returns:
      The batch with grids and identifiers of the variants; other columns are unchanged.
    """
    variant_key, corner_key, place_key = jax.random.split(key, 3)
    puzzles = jnp.searchsorted(firsts, examples["puzzle_identifiers"], side="right") - 1
    draws = jax.vmap(lambda puzzle: jax.random.uniform(jax.random.fold_in(variant_key, puzzle)))
    counts = firsts[puzzles + 1] - firsts[puzzles]
    # The minimum is needed because the product may round up to `counts`.
    chosen = jnp.minimum((draws(puzzles) * counts).astype(jnp.int32), counts - 1)
    identifiers = firsts[puzzles] + chosen

    batch = len(identifiers)
    moved = jax.random.uniform(corner_key, (batch, 1)) >= CORNER_SHARE
    places = jnp.where(moved, jax.random.uniform(place_key, (batch, 2)), 0)
    variant = transforms[identifiers], colors[identifiers]
    inputs, labels = jax.vmap(render)(examples["inputs"], examples["labels"], *variant, places)
    return {**examples, "inputs": inputs, "labels": labels, "puzzle_identifiers": identifiers}


def render(
    question: jax.Array,
    answer: jax.Array,
    transform: jax.Array,
    colors: jax.Array,
    place: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Makes one pair of a variant.

    Args:
      question: tokens as from `encode`, integer `[size * size]`.
      answer: the same, possibly with `IGNORE_LABEL` instead of `PAD`.
      transform: number of a transform, see `cgar_jax.data.symmetries`.
      colors: new value of each color, `[10]`.
      place: position down and to the right, as shares of the free rows and columns, `[2]` in
        [0, 1).

    Returns:
      Tokens of question and answer, int32 `[size * size]`, with `IGNORE_LABEL` instead of `PAD` in
      the answer.
    """
    size = round(question.size**0.5)
    shapes = [
        _transformed_shape(tokens.reshape(size, size), transform) for tokens in (question, answer)
    ]
    room = size - jnp.maximum(*shapes) + 1
    corner = jnp.minimum((place * room).astype(jnp.int32), room - 1)
    question, answer = (
        _render_grid(tokens.reshape(size, size), shape, transform, colors, corner)
        for tokens, shape in zip((question, answer), shapes, strict=True)
    )
    return question, jnp.where(answer == PAD, IGNORE_LABEL, answer)


def _swaps_axes(transform: jax.Array) -> jax.Array:
    return jnp.isin(transform, jnp.array([1, 3, 6, 7]))


def _transformed_shape(canvas: jax.Array, transform: jax.Array) -> jax.Array:
    is_color = canvas >= FIRST_COLOR
    shape = jnp.stack([is_color[:, 0].sum(), is_color[0].sum()])
    return jnp.where(_swaps_axes(transform), shape[::-1], shape)


def _render_grid(
    canvas: jax.Array,
    shape: jax.Array,
    transform: jax.Array,
    colors: jax.Array,
    corner: jax.Array,
) -> jax.Array:
    """Fills a new canvas cell by cell, each from the cell of the old canvas that it shows."""
    cells = jnp.arange(len(canvas))
    row, column = jnp.meshgrid(cells - corner[0], cells - corner[1], indexing="ij")
    height, width = shape
    swaps = _swaps_axes(transform)
    flips_rows = jnp.isin(transform, jnp.array([2, 3, 5, 7]))
    flips_columns = jnp.isin(transform, jnp.array([1, 2, 4, 7]))
    old_height, old_width = (jnp.where(swaps, a, b) for a, b in ((width, height), (height, width)))
    old_row, old_column = (jnp.where(swaps, a, b) for a, b in ((column, row), (row, column)))
    old_row = jnp.where(flips_rows, old_height - 1 - old_row, old_row)
    old_column = jnp.where(flips_columns, old_width - 1 - old_column, old_column)
    color = canvas.at[old_row, old_column].get(mode="clip") - FIRST_COLOR
    inside = (row >= 0) & (column >= 0) & (row < height) & (column < width)
    below = (row == height) & (column >= 0) & (column < width)
    right = (column == width) & (row >= 0) & (row < height)
    new_color = colors.astype(jnp.int32).at[color].get(mode="clip") + FIRST_COLOR
    tokens = jnp.where(inside, new_color, jnp.where(below | right, END, PAD))
    return tokens.reshape(-1)
