"""Train tiny recursive reasoning models cheaply in JAX, and reuse the parts that make it cheap.

The rooms are imported by name: ``from cgar_jax import losses, weighting, curricula``. Importing
``cgar_jax`` itself, or one of those three, pulls in neither flax nor the data and training rooms.
"""

__version__ = "0.1.0"
