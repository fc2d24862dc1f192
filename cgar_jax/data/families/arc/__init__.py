"""ARC-AGI-1, ARC-AGI-2 and ConceptARC: JSON files, tokens, and variants made on demand."""

from cgar_jax.data.families.arc.family import ArcSource
from cgar_jax.data.families.arc.grids import decode, encode
from cgar_jax.data.families.arc.json_files import ArcPuzzle, read_set
from cgar_jax.data.families.arc.variants import draw_variants
from cgar_jax.data.symmetries import Variants

__all__ = ["ArcPuzzle", "ArcSource", "Variants", "decode", "draw_variants", "encode", "read_set"]
