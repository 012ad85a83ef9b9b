"""open_clip models and their tokenizers, built from an identified name."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from benchmarks import randomness
from benchmarks.backbone import activations, hub, model_config, weight_files
from benchmarks.backbone.folders import CONFIG_FILE, weights_in
from benchmarks.backbone.names import BackboneId
from benchmarks.errors import UserError, one_line


def build(ident: BackboneId, *, online: bool) -> tuple[Any, Any]:
    """Return the model on the CPU, as open_clip builds it, and its tokenizer.

    Raises:
        UserError: the weights are damaged or do not belong to the architecture.
        DataMissing: a file is not on this machine and could not be fetched.
    """
    import open_clip

    hub.refuse_damaged(ident)
    # No pretrained text tower: the checkpoint contains one, or random weights are wanted.
    arguments: dict[str, Any] = {"model_name": ident.arch, "pretrained_text": False}
    if ident.form == "embedded":
        from benchmarks.glyphs import ASSETS, PREPROCESS

        open_clip.add_model_config(ASSETS)
        arguments |= {
            "pretrained": str(ASSETS / "glyph.safetensors"),
            "force_preprocess_cfg": dict(PREPROCESS),
        }
    elif ident.form in ("local-dir", "hf-hub"):
        arguments["model_name"] = f"{ident.form}:{ident.source}"
    elif ident.form == "tag":
        arguments["pretrained"] = ident.source
    elif ident.form == "random":
        arguments |= _forced(_published_preprocess(ident.arch))
    # Otherwise open_clip uses random weights if a folder or repository contains none.
    arguments["require_pretrained"] = ident.form not in ("random", "file")
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip logs errors that it also raises
    try:
        seeded = randomness.seeded("random weights", 0)
        with warnings.catch_warnings(), seeded, hub.client(offline=not online):
            warnings.simplefilter("ignore")
            _refuse_unsafe(ident)
            if ident.form == "file":
                model = _from_file(ident, arguments)
            else:
                model = open_clip.create_model(**arguments)
            if online:
                hub.refuse_damaged(ident)  # what has been fetched
            if ident.form == "hf-hub":
                activations.refuse_hub_mismatch(ident)
            return model, _tokenizer(ident, arguments["model_name"])
    except UserError:
        raise
    except Exception as error:  # the readers of damaged files raise errors of any type
        line = one_line(error)
        # OSError: a file of the hub is not in the cache and cannot be fetched.
        absent = online or (isinstance(error, OSError) and bool(hub.needs(ident)))
        if absent and "size mismatch" not in str(error):
            raise hub.cannot_fetch(ident, line) from error
        raise UserError(f"Backbone '{ident.typed}' does not load: {line}") from error
    finally:
        logging.getLogger().setLevel(level)


def _refuse_unsafe(ident: BackboneId) -> None:
    """Refuse a configuration that comes with weights, if it leads to code or fills the memory."""
    from open_clip.pretrained import download_pretrained_from_hf

    if ident.form == "local-dir":
        folder = Path(ident.source)
        model_config.refuse_unsafe(folder / CONFIG_FILE, weights_in(folder))
    elif ident.form == "hf-hub":
        config = Path(download_pretrained_from_hf(ident.source, filename=CONFIG_FILE))
        model_config.refuse_unsafe(config, [Path(download_pretrained_from_hf(ident.source))])


def _from_file(ident: BackboneId, arguments: dict[str, Any]) -> Any:
    """Build the architecture with the weights of a file, every one of them."""
    import open_clip

    file = Path(ident.source)
    if file.suffix in (".npz", ".npy"):  # the format in which Google publishes SigLIP
        model = open_clip.create_model(**arguments | _preprocess_of(ident, openai=False))
        open_clip.load_checkpoint(model, str(file))
        return model
    weights = weight_files.read(file, ident.entry)
    if weights.openai:
        activations.refuse_mismatch(ident, trained=True)
    model = open_clip.create_model(**arguments | _preprocess_of(ident, openai=weights.openai))
    weight_files.load_into(model, weights.tensors)
    return model


def _preprocess_of(ident: BackboneId, *, openai: bool) -> dict[str, Any]:
    """open_clip's argument for the transform that a file's weights were trained for.

    The file does not contain it. If the file is a published one, its transform is known; otherwise
    it is the transform that all published weights of the architecture share. For an architecture
    without published weights, open_clip's default (CLIP's transform) applies.

    Raises:
        UserError: the architecture's published weights have different transforms.
    """
    if openai:
        return {}
    arch, _, tag = (ident.published or ident.arch).partition("/")
    found = _published_preprocess(arch, tag)
    if any(other != found[0] for other in found):
        raise UserError(
            f"Backbone '{ident.typed}': the published weights of {ident.arch} use different "
            "preprocessing, and a file does not say which it needs. Put it into a folder with an "
            "open_clip_config.json that does (preprocess_cfg) and use local-dir:FOLDER."
        )
    return _forced(found)


def _published_preprocess(arch: str, tag: str = "") -> list[dict[str, Any]]:
    """Transforms of an architecture's published weights: those of a tag, or of each tag."""
    import open_clip

    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(arch)
    keys = ("mean", "std", "interpolation", "resize_mode")
    known = [open_clip.get_pretrained_cfg(arch, one) for one in tags]
    return [{key: settings[key] for key in keys} for settings in known]


def _forced(found: list[dict[str, Any]]) -> dict[str, Any]:
    """open_clip's argument for the transform that all of these are; {} if they differ."""
    same = bool(found) and all(other == found[0] for other in found)
    return {"force_preprocess_cfg": found[0]} if same else {}


def _tokenizer(ident: BackboneId, model_name: str) -> Any:
    if ident.form == "embedded":
        from benchmarks.glyphs import load_tokenizer

        return load_tokenizer()
    import open_clip

    # Otherwise Hugging Face's loader asks at the terminal whether to run code of the model's.
    from_hub = bool(hub.text_settings(ident).get("hf_tokenizer_name"))
    never = {"trust_remote_code": False} if from_hub else {}
    return open_clip.get_tokenizer(model_name, **never)
