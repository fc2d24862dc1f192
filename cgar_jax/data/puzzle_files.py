"""Finds the files of a puzzle source: in a folder, or in a Hugging Face data set."""

import pathlib

_SPLITS = ("train", "test")
_HUB = "hub:"
# The endings of files in a folder, in order of preference.
_FORMATS = ("csv", "tsv", "jsonl", "parquet")
_COMPRESSIONS = ("", ".gz", ".zst", ".bz2", ".xz", ".zip")
_ENDINGS = [f".{each}{ending}" for each in _FORMATS for ending in _COMPRESSIONS]


def find_files(source: str) -> dict[str, pathlib.Path]:
    """Returns the paths of the files by split: `train.csv` and `test.csv`.

    Args:
      source: a folder, whose files may also be `.tsv`, `.jsonl`, `.parquet` or compressed, as in
        `train.csv.gz`; or `"hub:OWNER/NAME"` for a Hugging Face data set, which is downloaded.

    Raises:
      FileNotFoundError: if the folder or a file in it does not exist.
      ConnectionError: if a file cannot be downloaded.
    """
    if source.startswith(_HUB):
        return _download(source.removeprefix(_HUB))
    folder = pathlib.Path(source).expanduser()
    files = {}
    for split in _SPLITS:
        paths = [folder / f"{split}{ending}" for ending in _ENDINGS]
        found = [path for path in paths if path.is_file()]
        if not found:
            raise FileNotFoundError(
                f"data source {source!r}: there is no file {paths[0]}; expected 'generated', "
                "'hub:OWNER/NAME', or a folder with train.csv and test.csv"
            )
        files[split] = found[0]
    return files


def _download(repository: str) -> dict[str, pathlib.Path]:
    import huggingface_hub  # slow to import, and needed for nothing else

    files = {}
    for split in _SPLITS:
        try:
            path = huggingface_hub.hf_hub_download(repository, f"{split}.csv", repo_type="dataset")
        except Exception as error:  # the library's errors have no base class in common
            raise ConnectionError(
                f"could not download {split}.csv of the Hugging Face data set {repository!r} "
                f"({type(error).__name__}); check the name and the network, or set source to a "
                "local folder with train.csv and test.csv"
            ) from error
        files[split] = pathlib.Path(path)
    return files
