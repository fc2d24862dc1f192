"""ARC-AGI-1, ARC-AGI-2 and ConceptARC: JSON files, tokens, and variants made when needed."""

from cgar_jax.data.families.arc.grids import decode, encode
from cgar_jax.data.families.arc.json_files import ArcPuzzle, read_set
from cgar_jax.data.families.arc.puzzles import Arc
from cgar_jax.data.families.arc.variants import Variants, draw_variants

__all__ = ["Arc", "ArcPuzzle", "Variants", "decode", "draw_variants", "encode", "read_set"]
