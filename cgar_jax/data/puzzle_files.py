"""Finds the CSV files of a puzzle source: in a folder, or in a Hugging Face data set."""

import pathlib

_SPLITS = ("train", "test")
_HUB = "hub:"


def find_files(source: str) -> dict[str, pathlib.Path]:
    """Returns the paths of `train.csv` and `test.csv` by split.

    Args:
      source: a folder, or `"hub:OWNER/NAME"` for a Hugging Face data set, which is downloaded.

    Raises:
      FileNotFoundError: if the folder or a file in it does not exist.
      ConnectionError: if a file cannot be downloaded.
    """
    if source.startswith(_HUB):
        return _download(source.removeprefix(_HUB))
    folder = pathlib.Path(source).expanduser()
    files = {split: folder / f"{split}.csv" for split in _SPLITS}
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(
                f"data source {source!r}: there is no file {file}; expected 'generated', "
                "'hub:OWNER/NAME', or a folder with train.csv and test.csv"
            )
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
