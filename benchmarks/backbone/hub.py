"""Files that a backbone needs from the Hugging Face hub.

These are its weights, a tokenizer (SigLIP's, for example) or the configuration of a text tower that
is a Hugging Face model. Files in the cache are used without asking the hub; if some are missing, it
is contacted once, and never offline.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.backbone import open_clip_tables
from benchmarks.backbone.folders import CONFIG_FILE, text_config, tokenizer_files
from benchmarks.backbone.names import BackboneId
from benchmarks.errors import DataMissing, UserError

_OFFLINE_HINT = (
    "offline, use --backbone glyph (embedded) or ViT-B-16/random (for speed and plumbing only)"
)

_USUAL_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class Need:
    """Files of one repository that a backbone does not load without."""

    what: str
    repository: str
    files: tuple[tuple[str, ...], ...]
    """Groups of alternatives: one file of each group is needed."""


def needs(ident: BackboneId) -> list[Need]:
    """Everything that a backbone needs from the hub, cached or not."""
    if ident.of_timm:
        return _of_timm(ident)
    found = []
    if ident.form == "hf-hub":
        files = (_USUAL_FILES, (CONFIG_FILE,))
        found.append(Need("weights", ident.source, files))
    elif ident.form == "tag":  # since open_clip 3.0 all of them are on the hub
        settings = open_clip_tables.pretrained(ident.arch, ident.source)
        repository, _, file = str(settings.get("hf_hub", "")).rpartition("/")
        either = (str(Path(file).with_suffix(".safetensors")), file) if file else _USUAL_FILES
        found.append(Need("weights", repository, (either,)))
    text = text_settings(ident)
    if (name := text.get("hf_tokenizer_name")) and ident.form != "local-dir":
        any_of = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")
        found.append(Need("tokenizer", str(name), (any_of,)))
    if name := text.get("hf_model_name"):
        found.append(Need("text tower's configuration", str(name), (("config.json",),)))
    return found


def _of_timm(ident: BackboneId) -> list[Need]:
    """The weights of a tag of timm.

    Raises:
        UserError: they are not on the hub.
    """
    if ident.form != "tag":
        return []
    import timm

    config = timm.get_pretrained_cfg(f"{ident.arch.removeprefix('timm:')}.{ident.source}")
    if config is None or not config.hf_hub_id:
        raise UserError(
            f"Backbone '{ident.name}': timm has these weights not on the Hugging Face hub; save "
            f"them to a file and use {ident.arch}.{ident.source}/FILE."
        )
    own = config.hf_hub_filename
    either = (own,) if own else ("model.safetensors", "pytorch_model.bin")
    return [Need("weights", str(config.hf_hub_id), (either,))]


def missing(ident: BackboneId) -> list[Need]:
    """The needs that the cache does not meet."""
    return [
        need
        for need in needs(ident)
        if not all(any(_cached(need.repository, f) for f in files) for files in need.files)
    ]


def cached_revision(ident: BackboneId) -> str:
    """The commit of an `hf-hub:` backbone that is completely cached, or ""."""
    if missing(ident):
        return ""
    return Path(_cached(ident.source, CONFIG_FILE)).parent.name


def refuse_damaged(ident: BackboneId) -> None:
    """Verify the cached files that a backbone needs.

    The cache names a file after its checksum: SHA-256 for weights, git's SHA-1 for small files. The
    hub's client does not verify it. Weights are read at about 1.7 GB a second.

    Raises:
        UserError: a file is not the one that the hub had.
    """
    for need in needs(ident):
        for file in (name for group in need.files for name in group):
            blob = Path(_cached(need.repository, file)).resolve()
            if blob.is_file() and _expected(blob) not in ("", blob.name):
                raise UserError(
                    f"Backbone '{ident.name}': {blob} ({file}) is damaged: delete it, then "
                    f"python run_benchmarks.py download {ident.typed}."
                )


def _expected(blob: Path) -> str:
    """Return the name that the cache gives a file with this content; "" if it goes by another."""
    with blob.open("rb") as stream:
        if re.fullmatch(r"[0-9a-f]{64}", blob.name):
            return hashlib.file_digest(stream, "sha256").hexdigest()
        if re.fullmatch(r"[0-9a-f]{40}", blob.name):
            content = stream.read()
            return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return ""


def no_network() -> str:
    """The reason why the hub cannot be reached, or "".

    One request finds out; the hub's own client would retry file after file for most of a minute.
    """
    from huggingface_hub import constants

    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError:
        return ""  # it answers
    except urllib.error.URLError as error:
        # The hub's client brings its own certificates.
        return "" if isinstance(error.reason, ssl.SSLError) else f"no network: {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return f"no network: {error}"
    return ""


@contextmanager
def client(offline: bool) -> Iterator[None]:
    """Make the hub's client use its cache without asking the hub, if `offline`."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def require_tokenizer(ident: BackboneId) -> None:
    """Check that the backbone's Hugging Face tokenizer or text tower, if any, can be read.

    Raises:
        UserError: its files are not in the model's folder, or the package is not installed.
    """
    text = text_settings(ident)
    name = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    if not name:
        return
    if ident.form == "local-dir" and text.get("hf_tokenizer_name"):
        folder = Path(ident.source)
        if not tokenizer_files(folder):
            raise UserError(
                f"Backbone '{ident.typed}': its configuration names the Hugging Face tokenizer "
                f"{name}, whose files (tokenizer.json and others) are not in {folder.resolve()}: "
                "save them there."
            )
    if find_spec("transformers") is None:
        raise UserError(
            f"Backbone '{ident.typed}' has the Hugging Face tokenizer {name}, which needs the "
            "package transformers, and that is not installed: pip install transformers."
        )


def cannot_fetch(ident: BackboneId, reason: str) -> DataMissing:
    """The error for missing files: what to download, and what to use instead."""
    absent = missing(ident) or needs(ident)
    arch = ident.name if ident.of_timm else ident.arch
    by_hand = (
        f"or point to a checkpoint file with --backbone {arch}/FILE; "
        if arch
        else "or point to a folder with --backbone local-dir:FOLDER; "
    )
    if all(need.what == "weights" for need in absent):
        what = f"The weights of '{ident.name}' are not on this machine and were not fetched"
    else:
        names = " and ".join(f"the {need.what} ({need.repository})" for need in absent)
        what = (
            f"Backbone '{ident.name}' needs {names} from the Hugging Face hub: not on this "
            "machine and not fetched"
        )
        by_hand = ""
    return DataMissing(
        f"{what} ({reason.rstrip('.')}). With network access: "
        f"python run_benchmarks.py download {ident.typed}; {by_hand}{_OFFLINE_HINT}."
    )


def text_settings(ident: BackboneId) -> dict[str, Any]:
    """The text tower's configuration, as far as it is known without the network."""
    if ident.of_timm:
        return {}
    if ident.form == "local-dir":
        return text_config(Path(ident.source) / CONFIG_FILE)
    if ident.form == "hf-hub":
        file = _cached(ident.source, CONFIG_FILE)
        return text_config(Path(file)) if file else {}
    return dict(open_clip_tables.config(ident.arch).get("text_cfg", {}))


def _cached(repository: str, file: str) -> str:
    """Path of a file of the main revision in the cache, or ""."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return found if isinstance(found, str) else ""
