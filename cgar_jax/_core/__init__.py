"""Building blocks that the reusable rooms share: masking, shape checks, labels, registries.

Everything here is private. A helper belongs here once two rooms need it; nothing here imports any
other part of the package.
"""
