"""The cache of chosen examples: a TFDS data set in ArrayRecord files, without TensorFlow.

Each combination of settings and file contents has its own folder. TFDS renames a complete data set
to its final name, so a data set in the cache is never stale and never half written.
"""

import contextlib
import io
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from cgar_jax.data.schema import Examples
from cgar_jax.data.sources import Source

_SPLITS = ("train", "validation", "test")
# Decoding one record takes 0.15 ms, which would be a minute for 422,786 test puzzles in records of
# their own; so a record holds a block of puzzles.
_PUZZLES_PER_RECORD = 1024


def cached_splits(source: Source, cache_dir: str | os.PathLike) -> dict[str, Examples]:
    """Returns `source.make_splits()` from the cache, and fills the cache first if necessary.

    Args:
      source: source of the examples.
      cache_dir: folder that holds a folder per data set.

    Raises:
      ValueError, FileNotFoundError, ConnectionError: see `Source`.
    """
    builder = PuzzleGrids(source, cache_dir)
    if not builder.data_path.exists():
        tfds.disable_progress_bar()
        # TFDS would print that it downloads data of unknown size, but nothing is downloaded here.
        quiet = contextlib.redirect_stdout(io.StringIO())
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        try:
            with quiet:
                builder.download_and_prepare(download_config=config)
        except OSError:
            # Another process may have finished the same data set in the meantime.
            builder = PuzzleGrids(source, cache_dir)
            if not builder.data_path.exists():
                raise
    return {split: _read(builder, split) for split in _SPLITS}


class PuzzleGrids(tfds.core.GeneratorBasedBuilder):
    """Examples of one source, in blocks of up to 1,024 per record."""

    VERSION = tfds.core.Version("1.2.0")  # increase it if the generators or the features change
    # TFDS would look for checksums of downloads beside this file. There are none, and the search
    # needs importlib_resources, which TFDS does not install.
    code_path = None

    def __init__(self, source: Source, cache_dir: str | os.PathLike):
        self._source = source
        kind = "generated" if source.source == "generated" else "files"
        data_dir = pathlib.Path(cache_dir, f"{kind}_{source.fingerprint()}")
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        tokens = tfds.features.Tensor(
            shape=(None, None), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "inputs": tokens,
                    "labels": tokens,
                    "difficulty": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                    "source": tfds.features.Sequence(tfds.features.Text()),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        splits = self._source.make_splits()
        return {
            split: self._generate_examples(examples)
            for split, examples in splits.items()
            if len(examples["inputs"])
        }

    def _generate_examples(self, examples: Examples):
        for start in range(0, len(examples["inputs"]), _PUZZLES_PER_RECORD):
            block = slice(start, start + _PUZZLES_PER_RECORD)
            yield start, {name: values[block] for name, values in examples.items()}


def _read(builder: PuzzleGrids, split: str) -> Examples:
    if split not in builder.info.splits:
        return {name: values[:0] for name, values in _read(builder, "train").items()}
    source = builder.as_data_source(split=split)
    blocks = source.__getitems__(range(len(source)))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
