"""Building blocks that the reusable rooms share: masking, shape checks, labels, registries."""
