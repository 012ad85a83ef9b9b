"""Names of backbones, split into their parts.

ViT-B-16-quickgelu/openai   an open_clip architecture and one of its pretrained tags
ViT-B-16/PATH               an open_clip architecture and a checkpoint file
ViT-B-16/PATH#ENTRY         the same: the entry with the weights, where there are several
ViT-B-16/random             seeded random weights, for speed and parity checks offline
hf-hub:ORG/MODEL            an open_clip model on the Hugging Face hub
local-dir:PATH              a folder with open_clip_config.json and weights
timm:NAME.TAG               an image encoder of timm without texts, with its pretrained weights
timm:NAME/random            the same with random weights; timm:NAME/PATH and timm:NAME.TAG/PATH with
                            those of a file
glyph                       the embedded backbone (benchmarks/assets)
"""

from __future__ import annotations

from dataclasses import dataclass

EMBEDDED = "glyph"
TIMM = "timm:"
"""Beginning of the names of timm's models."""
TRANSFORMS = ("checkpoint", "lift", "lift_plus", "lmpt")
"""Evaluation transforms; `transforms` describes them, and needs torch."""


@dataclass(frozen=True)
class BackboneId:
    """A backbone's name and the identity of its weights; made without loading anything."""

    name: str
    """Name in records and tables: no paths, a content hash for files."""
    form: str
    """embedded, random, tag, file, hf-hub or local-dir."""
    arch: str
    """open_clip's architecture, or timm's after `timm:`, for files with the tag that the name has;
    "" for a folder or repository, which names its own."""
    source: str
    """Tag, path or hub name."""
    weights_id: str
    published: str = ""
    """ARCH/TAG, if a file is one of open_clip's published ones by its checksum."""
    entry: str = ""
    """Entry of a checkpoint file that holds the weights; "" if it has one set of them."""

    @property
    def of_timm(self) -> bool:
        """True for a model of timm, which has no text tower."""
        return self.arch.startswith(TIMM)

    @property
    def typed(self) -> str:
        """The name by which it is found on this machine."""
        if self.form == "file":
            entry = f"#{self.entry}" if self.entry else ""
            return f"{self.arch}/{self.source}{entry}"
        return f"local-dir:{self.source}" if self.form == "local-dir" else self.name
