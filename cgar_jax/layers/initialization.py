"""The initializer of all kernels in this room."""

from flax import linen as nn

LECUN_NORMAL = nn.initializers.lecun_normal()
"""Truncated LeCun normal over the fan-in, as in the published models."""
