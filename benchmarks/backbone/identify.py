"""Identification of a backbone by its name: the form, the architecture and the weights.

Nothing is loaded, but files are hashed and the hub's cache is read. No import of torch, so that
`plan` starts quickly.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.backbone import activations, hub, open_clip_tables, timm_names
from benchmarks.backbone.folders import CONFIG_FILE, refuse_links_out, tokenizer_files, weights_in
from benchmarks.backbone.names import EMBEDDED, TIMM, BackboneId
from benchmarks.errors import UserError, did_you_mean, first_few
from benchmarks.file_names import expanded
from benchmarks.input_files import opened

_ENDINGS = (".pt", ".pth", ".bin", ".safetensors")
"""Endings of checkpoint files."""


def identify(name: str) -> BackboneId:
    """Identify a backbone (see `names` for the forms of a name).

    Raises:
        UserError: the architecture or tag is unknown, or there is nothing at a path.
    """
    if name == EMBEDDED:
        return _embedded()
    if name.startswith("local-dir:"):
        return _in_folder(name)
    if name.startswith("hf-hub:"):
        return _on_hub(name)
    if name.startswith(TIMM):
        return _of_timm(name)
    return _of_architecture(name)


def _embedded() -> BackboneId:
    from benchmarks.glyphs import ASSETS

    # The tokenizer is included, because the text features depend on it.
    files = [ASSETS / n for n in ("glyph.safetensors", "glyph.json", "vocabulary.txt")]
    log = ASSETS / "glyph_training.json"
    if missing := [file for file in (*files, log) if not file.is_file()]:
        raise UserError(f"Backbone 'glyph': no file {missing[0]}; `make weights` rebuilds it.")
    digests = [_sha256(file) for file in files]
    try:
        known = json.loads(log.read_text(encoding="utf-8"))["sha256"]
        pairs = zip(files, digests, strict=True)
        damaged = [file for file, digest in pairs if digest.hex() != known[file.name]]
    except (ValueError, KeyError, TypeError, RecursionError):
        damaged = [log]
    if damaged:
        raise UserError(
            f"Backbone 'glyph': {damaged[0]} is damaged: restore it with `git checkout`, or train "
            "other weights with `make weights`."
        )
    return BackboneId(EMBEDDED, "embedded", "glyph", "", _files_id(digests))


def _in_folder(name: str) -> BackboneId:
    """A `local-dir:` name."""
    folder = expanded(name.removeprefix("local-dir:"), f"Backbone '{name}'")
    if not os.path.isfile(folder / CONFIG_FILE):  # False for a name that is too long
        raise UserError(f"Backbone '{name}': no {CONFIG_FILE} in {folder.resolve()}.")
    weights = weights_in(folder)
    if not weights:
        raise UserError(
            f"Backbone '{name}': no weights (.safetensors, .bin or .pth) in {folder.resolve()}."
        )
    files = [folder / CONFIG_FILE, *weights, *tokenizer_files(folder)]
    refuse_links_out(name, folder, files)
    ident = _files_id(map(_sha256, files))
    shown = f"local-dir:{folder.resolve().name}@{ident[:8]}"
    return BackboneId(shown, "local-dir", "", str(folder), ident)


def _on_hub(name: str) -> BackboneId:
    """An `hf-hub:` name; the weights are those of the cached revision, if there is one."""
    if re.fullmatch(r"hf-hub:[\w.-]+/[\w.-]+@[\w./-]+", name):
        repository, _, revision = name.removeprefix("hf-hub:").partition("@")
        raise UserError(
            f"Backbone '{name}': open_clip loads the main revision only. For another one: "
            f"hf download {repository} --revision {revision} --local-dir FOLDER, then "
            "local-dir:FOLDER."
        )
    if not re.fullmatch(r"hf-hub:[\w.-]+/[\w.-]+", name):
        raise UserError(f"Backbone '{name}': write hf-hub:ORG/MODEL.")
    found = BackboneId(name, "hf-hub", "", name.removeprefix("hf-hub:"), name)
    revision = hub.cached_revision(found)
    return replace(found, weights_id=f"{name}@{revision}") if revision else found


def _of_architecture(name: str) -> BackboneId:
    """ARCH/TAG, ARCH/FILE or ARCH/random."""
    arch, slash, weights_name = name.partition("/")
    if arch == EMBEDDED:
        raise UserError(f"Backbone '{name}': the embedded one has one set of weights; write glyph.")
    configs = [n for n in open_clip_tables.models() if n != EMBEDDED]
    if arch not in configs:
        if hint := _other_form(name, configs):
            raise UserError(f"Unknown backbone '{name}'. {hint}")
        raise did_you_mean("backbone", name if not slash else arch, [*configs, EMBEDDED])
    if not weights_name:
        raise UserError(
            f"Backbone '{name}' names no weights: write {arch}/TAG, {arch}/random or {arch}/FILE."
        )
    if weights_name == "random":
        return BackboneId(name, "random", arch, "random", f"{arch}/random-seed0")
    if found := _in_file(arch, weights_name):
        return found
    tags = open_clip_tables.tags(arch)
    if weights_name not in tags:
        if "/" in weights_name or weights_name.endswith(_ENDINGS):
            raise UserError(f"Backbone '{name}': no file at {weights_name}.")
        raise did_you_mean(f"weights of {arch}", weights_name, [*tags, "random"])
    found = BackboneId(name, "tag", arch, weights_name, name)
    activations.refuse_mismatch(found, activations.trained_with_quick_gelu(name))
    return found


def _of_timm(name: str) -> BackboneId:
    """timm:NAME.TAG, timm:NAME/random or timm:NAME/FILE."""
    model, slash, weights = name.removeprefix(TIMM).partition("/")
    arch, _, tag = model.partition(".")
    if arch not in timm_names.models():
        raise did_you_mean("model of timm", arch, timm_names.models())
    if tag and not timm_names.has_weights(arch, tag):
        raise did_you_mean(f"weights of timm:{arch}", tag, timm_names.tags(arch))
    if slash and weights == "random":
        return BackboneId(name, "random", f"{TIMM}{model}", weights, f"{name}-seed0")
    if slash and weights:
        if found := _in_file(f"{TIMM}{model}", weights):
            return found
        raise UserError(f"Backbone '{name}': no file at {weights}.")
    if tag and not slash:
        return BackboneId(name, "tag", f"{TIMM}{arch}", tag, name)
    tags = [f"{TIMM}{arch}.{one}" for one in timm_names.tags(arch)]
    raise UserError(
        f"Backbone '{name}' names no weights: write "
        f"{first_few([*tags, f'{TIMM}{model}/random', f'{TIMM}{model}/FILE'], limit=8)}."
    )


def _other_form(name: str, known: Sequence[str]) -> str:
    """A hint if a name is that of a backbone elsewhere, and like none of the known ones."""
    if os.path.isdir(name):
        return f"A folder with open_clip_config.json is local-dir:{name}."
    # OpenAI's own names (ViT-B/16, ViT-L/14@336px) and those of its models in transformers.
    pattern = r"(?:openai/clip-vit-(base|large)-patch|ViT-([BL])/)(\d\d)(?:-336|@336px)?"
    if found := re.fullmatch(pattern, name):
        size = (found[1] or found[2])[0].upper()
        larger = "-336" if "336" in name else ""
        return f"OpenAI's model is ViT-{size}-{found[3]}{larger}-quickgelu/openai."
    model = name.removeprefix("timm/").partition("/")[0]
    if model.partition(".")[0] in timm_names.models():
        return f"timm's model is {TIMM}{model}."
    near = difflib.get_close_matches(name.partition("/")[0].lower(), map(str.lower, known))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not near:
        return (
            f"An open_clip model of the Hugging Face hub is hf-hub:{name}; others are ARCH/TAG "
            "(`list backbones`)."
        )
    return ""


def _in_file(arch: str, file: str) -> BackboneId | None:
    """An architecture with a checkpoint file, or None if there is no file of this name.

    Args:
        arch: of open_clip or timm.
        file: path of the file, with `#ENTRY` after it where an entry of it is meant.
    """
    entry = ""
    if not os.path.isfile(file):
        file, hash_sign, entry = file.rpartition("#")
        if not hash_sign or not os.path.isfile(file):
            return None
    digest = _sha256(Path(file))
    ident = _files_id([digest, entry.encode()])
    shown = f"{arch}/{Path(file).name}{f'#{entry}' if entry else ''}@{ident[:8]}"
    published = "" if arch.startswith(TIMM) else _published_as(digest.hex())
    found = BackboneId(shown, "file", arch, file, ident, published, entry)
    if published:
        activations.refuse_mismatch(found, activations.trained_with_quick_gelu(published))
    return found


def _published_as(sha256: str) -> str:
    """ARCH/TAG of the published file with this checksum, or "".

    Some addresses in open_clip's table contain it: OpenAI's the whole checksum, those on GitHub its
    first eight digits at their end.
    """
    for arch, tag in open_clip_tables.all_pretrained():
        url = str(open_clip_tables.pretrained(arch, tag).get("url", ""))
        known = ""
        if "openaipublic" in url:
            known = url.split("/")[-2]
        elif "mlfoundations" in url:
            known = Path(url).stem.rpartition("-")[2]
        if known and sha256.startswith(known):
            return f"{arch}/{tag}"
    return ""


def _sha256(file: Path) -> bytes:
    with opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _files_id(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]
