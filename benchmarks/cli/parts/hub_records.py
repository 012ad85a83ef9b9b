"""Folders of records on the Hugging Face hub: sent with a card, fetched and checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.datasets.own.places import REPOSITORY
from benchmarks.errors import UserError, counted, first_few, one_line
from benchmarks.safe_files import scratch_folder
from reports.aggregate import build_tables
from reports.formats.markdown import markdown
from results.correctness import FILE as BITS
from results.incoming import Incoming, take, wanted
from results.schema import Record
from results.store import Store

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_TABLES = 50
"""Most tables of a card."""


def push(
    folder: Path, repository: str, *, public: bool, predictions: bool
) -> tuple[str, tuple[str, ...]]:
    """Send the records of a folder and a card to a data set on the hub.

    Records that are there already are not sent again, and none is replaced by a different one.

    Args:
        folder: folder that holds `records/`.
        repository: USER/NAME; made if there is no such data set.
        public: a new data set is seen by all.
        predictions: send the predictions, too.

    Returns:
        A line on what was sent, and one for each file that is no readable record.

    Raises:
        UserError: see `execute` of the verb.
    """
    from huggingface_hub import CommitOperationAdd, constants, get_token

    api = _client(repository)
    records, problems = Store(folder).all()
    if not records:
        raise UserError(f"No records under {folder}: name a folder that a run wrote to.")
    if get_token() is None:
        raise UserError(
            "push needs a token that may write: set HF_TOKEN in the environment, or run "
            "`hf auth login`."
        )
    files = {f"records/{record.key}.json" for record in records}
    if predictions:
        files |= {f"records/{record.key}.npz" for record in records}
        files.add(BITS)
    files = {file for file in files if (folder / file).is_file()}
    with _failing_as(f"push to {repository}"):
        api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
        there = _listed(api, repository, "main")
        others = {path for path in there if path.endswith(".json")} - files
        if "README.md" in there and not any(path.startswith("records/") for path in there):
            raise UserError("it is a data set of another kind, whose card would be replaced")
        new = sorted(file for file in files if file not in there)
        _refuse_different(folder, repository, {f: there[f] for f in files & there.keys()})
        contents: dict[str, Any] = {file: folder / file for file in new}
        contents["README.md"] = card(records, repository).encode()
        operations = [
            CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)
            for path, content in contents.items()
        ]
        message = f"{counted(sum(file.endswith('.json') for file in new), 'record')}"
        api.create_commit(repository, operations, commit_message=message, repo_type="dataset")
    line = f"{message} sent to {constants.ENDPOINT}/datasets/{repository}, "
    line += f"{counted(len(files) - len(new), 'file')} there already."
    if others:
        line += (
            f" The card leaves out {counted(len(others), 'record')} of other folders: pull into "
            f"{folder} and push again."
        )
    return line, tuple(problems)


def pull(repository: str, revision: str, out: Path) -> Incoming:
    """Fetch the records of a data set on the hub and keep those that are sound.

    Nothing else of it is fetched, and nothing of it runs.

    Args:
        repository: USER/NAME.
        revision: commit, tag or branch.
        out: folder that holds `records/`; made if it is absent.

    Raises:
        UserError: see `execute` of the verb.
    """
    api = _client(repository)
    with _failing_as(f"pull {repository}"):
        commit = api.dataset_info(repository, revision=revision).sha
        listed = _listed(api, repository, commit)
        files = wanted([(path, file.size) for path, file in listed.items()])
    Store(out).check_writable()
    with scratch_folder(out / "pull") as scratch:
        with _failing_as(f"pull {repository}"):
            for file in files:
                api.hf_hub_download(
                    repository, file, repo_type="dataset", revision=commit, local_dir=scratch
                )
        return take(scratch, out)


def card(records: Sequence[Record], repository: str) -> str:
    """The page of a data set of records: what they are, how to read them, and their tables."""
    done = [record for record in records if record.status == "done"]
    code = sorted({r.provenance.git[:12] for r in done if r.provenance is not None})

    def names(field: str) -> str:
        return first_few(sorted({str(getattr(r, field)) for r in records}), limit=20)

    tables = build_tables(done, allow_mixed=True) if done else []
    lines = [
        "---",
        "pretty_name: Records of long-tailed recognition",
        "tags: [long-tailed-recognition, clip, benchmark-results]",
        "viewer: false",
        "---",
        f"# {repository.partition('/')[2]}",
        "",
        f"{counted(len(records), 'record')} of longtail-vlm, {len(done)} of them finished: one "
        "method on one data set with one backbone and one seed each. `records/KEY.json` is a "
        "record, `records/KEY.npz` its predictions; both have checksums.",
        "",
        f"- methods: {names('method')}",
        f"- data sets: {names('dataset')}",
        f"- backbones: {names('backbone')}",
        f"- code: {first_few(code, limit=20)}",
        "",
        f"    python run_benchmarks.py pull {repository} --out results/theirs",
        "    python run_benchmarks.py report results/theirs",
        "",
        *(markdown(table) for table in tables[:_TABLES]),
    ]
    return "\n".join(lines) + "\n"


def _client(repository: str) -> HfApi:
    """The hub's client.

    Raises:
        UserError: the name is not that of a data set.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not re.fullmatch(REPOSITORY, repository, re.ASCII):
        raise UserError(f"'{repository}' is not the name of a data set on the hub: USER/NAME.")
    disable_progress_bars()
    return HfApi()


def _listed(api: HfApi, repository: str, revision: str | None) -> dict[str, Any]:
    """The files of a data set on the hub, by path."""
    entries = api.list_repo_tree(repository, recursive=True, revision=revision, repo_type="dataset")
    return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}


def _refuse_different(folder: Path, repository: str, there: dict[str, Any]) -> None:
    different = [path for path, entry in there.items() if not _is(folder / path, entry)]
    different = sorted(path for path in different if path != BITS)
    if different:
        raise UserError(
            f"{repository} has other files of {counted(len(different), 'cell')} than {folder}: "
            f"{first_few(different)}; nothing was sent. Push to another name."
        )


def _is(file: Path, entry: Any) -> bool:
    """True if a file on the hub has the content of one here, by the checksum that the hub gives."""
    content = file.read_bytes()
    if entry.lfs is not None:
        return bool(hashlib.sha256(content).hexdigest() == entry.lfs.sha256)
    return bool(hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.blob_id)


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Turn errors of the hub's client and of its HTTP library into one line."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {one_line(error)}.") from error
    except Exception as error:
        raise UserError(f"{what}: {type(error).__name__}: {one_line(error)}.") from error
