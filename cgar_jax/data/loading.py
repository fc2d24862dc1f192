"""Loads a data set from its config: cached splits, made into a `Dataset` with augmentation.

This is the part of `data` that needs JAX and TFDS.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from cgar_jax.data.augmentation import augmentation_for
from cgar_jax.data.builder import cached_splits
from cgar_jax.data.dataset import Dataset
from cgar_jax.data.families import family_of
from cgar_jax.data.schema import Examples
from cgar_jax.data.sources import LoadOptions, Source


def load(config: Mapping[str, Any]) -> Dataset:
    """Loads the data set that a config describes, see `cgar_jax.data.load`."""
    source, splits = load_splits(config)
    dataset = source.dataset(splits)
    if config.get("augment", LoadOptions.augment):
        augment = augmentation_for(source.symmetries(dataset))
        dataset = dataclasses.replace(dataset, augment=augment)
    return dataset


def load_splits(config: Mapping[str, Any]) -> tuple[Source, dict[str, Examples]]:
    """Returns the source that a config describes, and its splits as from `Source.make_splits`."""
    source = family_of(config.get("name")).from_config(config)
    cache_dir = config.get("cache_dir") or os.environ.get("CGAR_DATA_DIR") or "~/.cache/cgar_jax"
    return source, cached_splits(source, pathlib.Path(cache_dir).expanduser())
