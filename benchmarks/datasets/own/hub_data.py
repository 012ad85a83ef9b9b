"""Parquet files of a data set on the Hugging Face hub, in the cache of the hub's own client."""

from __future__ import annotations

from pathlib import Path

from benchmarks.datasets.own.places import HUB, HubData
from benchmarks.errors import DataError, DataMissing, one_line


def fetched(data: HubData) -> tuple[Path, tuple[Path, ...]]:
    """The folder of a data set that was fetched, and the folder that its links lead to.

    Raises:
        DataMissing: it was not fetched.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(_snapshot(data, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise DataMissing(
            f"{data} is not on this machine; `download` with the YAML file fetches it."
        ) from error
    return folder / data.folder, (folder.parents[1],)


def fetch(data: HubData) -> Path:
    """Fetch the Parquet files of a data set; files in the cache are not fetched again.

    Raises:
        DataMissing: the hub cannot be reached, or has no such data set.
        DataError: the data set has no Parquet files.
    """
    try:
        folder = Path(_snapshot(data, local_files_only=False))
    except Exception as error:  # the client's own errors, and those of its HTTP library
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise DataMissing(f"{data} was not fetched ({reason}).") from error
    if not any((folder / data.folder).rglob("*.parquet")):
        raise DataError(
            f"{data} has no Parquet files, and no other files of it are read. The hub may have "
            f"converted it: {HUB}{data.repository}@refs/convert/parquet."
        )
    return folder


def _snapshot(data: HubData, *, local_files_only: bool) -> str:
    from huggingface_hub import snapshot_download

    inside = f"{data.folder}/**" if data.folder else "**"
    found: str = snapshot_download(
        data.repository,
        repo_type="dataset",
        revision=data.revision,
        allow_patterns=[f"{inside}.parquet"],
        local_files_only=local_files_only,
    )
    return found
