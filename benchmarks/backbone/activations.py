"""Refusal of weights whose activation differs from that of the architecture.

OpenAI's weights, and some others, were trained with QuickGELU. They load into an architecture with
GELU, and are silently worse. open_clip only warns about its own tags, and builds a file's model as
the architecture says.
"""

from __future__ import annotations

from benchmarks.backbone import open_clip_tables
from benchmarks.backbone.names import BackboneId
from benchmarks.errors import UserError


def trained_with_quick_gelu(published: str) -> bool:
    """True if ARCH/TAG was trained with QuickGELU, according to open_clip's table."""
    arch, _, tag = published.partition("/")
    return bool(open_clip_tables.pretrained(arch, tag).get("quick_gelu", False))


def refuse_mismatch(ident: BackboneId, trained: bool) -> None:
    """Raise an error unless the weights of a tag or file belong to the architecture's activation.

    Args:
        ident: a tag or a file.
        trained: the weights were trained with QuickGELU.

    Raises:
        UserError: weights and architecture disagree; the message names the right architecture.
    """
    built = bool(open_clip_tables.config(ident.arch).get("quick_gelu", False))
    right = f"{ident.arch}-quickgelu" if trained else ident.arch.removesuffix("-quickgelu")
    if trained == built or right == ident.arch:  # roberta-ViT-B-32 exists in one form only
        return
    known = right in open_clip_tables.models()
    raise UserError(
        f"Backbone '{ident.name}': these weights were trained with "
        f"{'QuickGELU' if trained else 'GELU'}; "
        + (f"use {right}/{ident.source}." if known else f"and open_clip has no {right}.")
    )


def refuse_hub_mismatch(ident: BackboneId) -> None:
    """Raise an error if a repository's configuration lacks the QuickGELU of its weights.

    Only repositories in open_clip's table can be checked.

    Raises:
        UserError: the weights were trained with QuickGELU, and the configuration does not say so.
    """
    import open_clip

    config = open_clip.get_model_config(f"hf-hub:{ident.source}")
    settings = [open_clip.get_pretrained_cfg(*pair) for pair in open_clip.list_pretrained()]
    published = [s for s in settings if str(s.get("hf_hub", "")).rpartition("/")[0] == ident.source]
    if any(s.get("quick_gelu") for s in published) and not config.get("quick_gelu"):
        raise UserError(
            f"Backbone '{ident.name}': these weights were trained with QuickGELU, and their "
            "configuration file does not say so."
        )
