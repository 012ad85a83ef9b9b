"""Parts of a backbone that a method needs, found by starting its training on tiny backbones.

Nothing is declared: a method that raises `NotApplicable` on a backbone without a part needs it. The
first step of a training ends the trial, so that all methods take seconds. As everywhere, only the
defaults of its fields are tried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

from benchmarks import randomness
from benchmarks.backbone.forms import PARTS, Form, Part
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone, tiny_config, tiny_task
from benchmarks.errors import NotApplicable
from benchmarks.inputs.features import FeatureStore
from methods.registry import METHODS, info_of

_LACKING: Mapping[Part, Mapping[str, Any]] = {
    "blocks": {"vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}},
    "prompts": {"text_cfg": {"no_causal_mask": True, "pool_type": "last"}},
}
"""Changes to the tiny backbone's configuration that take a part away: CLIP's ResNet in place of the
ViT, SigLIP's text tower in place of CLIP's."""


@cache
def needs(method: str) -> Mapping[Part, str]:
    """The parts of a backbone that a method needs, each with the method's words for it.

    Args:
        method: a registered name.

    Raises:
        UserError: no such method.
    """
    kinds = info_of(method).tasks
    # Some forms of a method apply to no tiny task at all, whatever the backbone.
    able = [kind for kind in kinds if not _refusal(method, kind, tiny_backbone())] or kinds[:1]
    refusals = {part: _refusal(method, able[0], _without(part)) for part in PARTS}
    return {part: refusal for part, refusal in refusals.items() if refusal}


def reason(method: str, form: Form) -> str:
    """Why a method is not applicable to an architecture, or "" if it runs on it."""
    missing = [words for part, words in needs(method).items() if part not in form.parts]
    return missing[0].replace(_NAME, form.arch) if missing else ""


_NAME = "BACKBONE"


@cache
def _without(part: Part) -> Backbone:
    """A tiny backbone that lacks a part."""
    from open_clip import CLIP

    config = tiny_config()
    for tower, changes in _LACKING[part].items():
        config[tower] = dict(changes) if tower == "vision_cfg" else config[tower] | changes
    with randomness.seeded("tiny backbone"):
        model = CLIP(**config)
    tiny = tiny_backbone()
    ident = dataclasses.replace(tiny.id, name=_NAME, weights_id=f"without {part}")
    return dataclasses.replace(tiny, id=ident, model=model.requires_grad_(False).eval())


@cache
def _store(backbone: str) -> FeatureStore:
    """Features of one of the tiny backbones, by the identity of its weights."""
    return FeatureStore(None)


class _Started(Exception):
    """A training has reached its first step."""


def _refusal(method: str, kind: Any, backbone: Backbone) -> str:
    """The words with which a method refuses a backbone; "" if it does not."""

    def stop(*place: int) -> None:
        raise _Started

    store = _store(backbone.id.weights_id)
    task, _ = tiny_task(kind=kind, backbone=backbone, progress=stop, store=store)
    try:
        METHODS.get(method)().fit(task)
    except _Started:
        return ""
    except NotApplicable as refusal:
        return str(refusal)
    return ""
