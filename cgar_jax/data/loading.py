"""From a config to the arrays of a data set, by way of the cache."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from cgar_jax.data.builder import cached_splits
from cgar_jax.data.dataset import Dataset, Examples
from cgar_jax.data.source import Source

OTHER_KEYS = ("name", "cache_dir", "augment", "num_domains", "max_device_megabytes")


def load(family: type[Source], config: Mapping[str, Any]) -> Dataset:
    """Is `cgar_jax.data.load` for one family."""
    source, splits = load_splits(family, config)
    return source.dataset(splits, bool(config.get("augment")))


def load_splits(
    family: type[Source], config: Mapping[str, Any]
) -> tuple[Source, dict[str, Examples]]:
    """Returns what a config asks for, and the splits as `Source.make_splits` makes them."""
    source = family.from_config(config, OTHER_KEYS)
    cache_dir = config.get("cache_dir") or os.environ.get("CGAR_DATA_DIR") or "~/.cache/cgar_jax"
    return source, cached_splits(source, pathlib.Path(cache_dir).expanduser())
