"""The Hugging Face hub as a source of weights: asked once, used offline, and missed in one line."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.backbone_names import BackboneId
from benchmarks.errors import DataMissing

OFFLINE_HINT = (
    "offline, use --backbone glyph (embedded) or ARCH/random (for speed and plumbing only)"
)


def _location(ident: BackboneId) -> tuple[str, str]:
    """Repository on the Hugging Face hub and file in it ("": the usual names); ("", "") if none."""
    import open_clip

    if ident.form == "hf-hub":
        return ident.source.partition("@")[0], ""
    if ident.form == "tag":
        settings = open_clip.get_pretrained_cfg(ident.arch, ident.source)
        repository, _, file = str(settings.get("hf_hub", "")).rpartition("/")
        return repository, file
    return "", ""


def no_network(ident: BackboneId) -> str:
    """Why the hub that holds these weights cannot be reached, or "".

    It is asked once: its own client would try file after file for most of a minute.
    """
    from huggingface_hub import constants

    if not _location(ident)[0]:
        return ""
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError:
        return ""  # it answers
    except urllib.error.URLError as error:
        # The hub's client has certificates of its own.
        return "" if isinstance(error.reason, ssl.SSLError) else f"no network: {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return f"no network: {error}"
    return ""


@contextmanager
def client(offline: bool) -> Iterator[None]:
    """Have the hub's client take what is in its cache without asking, if `offline`."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def require_cached(ident: BackboneId, reason: str) -> None:
    """Fail at once for weights that only the network could bring.

    Raises:
        DataMissing: they are not in a cache; the line gives `reason`.
    """
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    if ident.form not in ("tag", "hf-hub"):
        return
    repository, file = _location(ident)
    if repository:
        files = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        if any(isinstance(try_to_load_from_cache(repository, f), str) for f in files):
            return
    else:
        url = str(open_clip.get_pretrained_cfg(ident.arch, ident.source).get("url", ""))
        if (Path.home() / ".cache" / "clip" / Path(url).name).is_file():
            return
    raise cannot_fetch(ident, reason)


def cannot_fetch(ident: BackboneId, reason: str) -> DataMissing:
    """The error for weights that are not here: what to download, and what to do without."""
    by_hand = (
        f"or point to a checkpoint file with --backbone {ident.arch}/FILE"
        if ident.arch
        else "or point to a folder with --backbone local-dir:FOLDER"
    )
    return DataMissing(
        f"The weights of '{ident.name}' are not on this machine and were not fetched ({reason}). "
        f"Where there is a network: python run_benchmarks.py download {ident.name}; "
        f"{by_hand}; {OFFLINE_HINT}."
    )


def one_line(error: Exception, limit: int = 160) -> str:
    """An error's message without line breaks, cut to `limit` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
