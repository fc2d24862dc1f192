"""Flax layers that recursive reasoning models are made of."""

from cgar_jax.layers.blocks import (
    LECUN_NORMAL,
    Attention,
    SwiGLU,
    attend,
    gated_inner_size,
    rms_norm,
    rotary_angles,
    rotate,
)

__all__ = [
    "LECUN_NORMAL",
    "Attention",
    "SwiGLU",
    "attend",
    "gated_inner_size",
    "rms_norm",
    "rotary_angles",
    "rotate",
]
