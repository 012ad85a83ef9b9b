"""The table and the lists of methods and the models of open_clip that they run on.

One test has all of them, because the forms of all architectures take seconds once per process.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import open_clip
import pytest
import torch

from benchmarks.backbone import forms
from benchmarks.conformance.applicability import needs, reason
from benchmarks.tools import backbone_table
from benchmarks.towers import image, text
from methods.registry import METHODS
from tests.benchmarks.cli.commands import Command, the_line
from tests.benchmarks.cli.test_json_answers import answer, refuse_unlike_page

ADAPTERS = {"lift", "lift_plus", "sage", "crt", "lws"}
PROMPTS = {"coop", "lmpt"}
ANYWHERE = {"zero_shot", "ncm", "linear_probe", "tip_adapter", "prototype", "full_finetune"}


def test_the_page_and_the_lists_of_what_runs(command: Command) -> None:
    page = backbone_table.PAGE.read_text("utf-8")
    assert backbone_table.with_table(page) == page, (
        "python -m benchmarks.tools.backbone_table --write"
    )
    rows = dict(re.findall(r"^\| ([\w, -]+) \| (\d+ \| [\d–]+ \| [\d–]+) \|$", page, re.M))
    known = open_clip.list_pretrained()
    assert rows["all"].startswith(f"{len(known)} | ")
    # The counts of the families by their names, and those of the towers that have blocks.
    starts = {"ResNet": "RN", "ConvNeXt": "convnext", "ViTamin": "ViTamin", "PE-Core": "PE-Core"}
    for family, start in starts.items():
        count = sum(arch.startswith(start) for arch, _ in known)
        assert rows[family].startswith(f"{count} | {count if family == 'PE-Core' else '–'} | ")

    found = answer(command, "list", "backbones", "--runs", "lift")
    assert [line["name"] for line in found["weights"]] == [
        name for form in forms.pretrained() for name in form.names
    ]
    runs = Counter(line["family"] for line in found["weights"] if not line["reason"])
    assert {f: rows[f].split(" | ")[1] for f in runs} == {f: str(n) for f, n in runs.items()}
    assert {line["name"] for line in found["weights"]} == {"/".join(pair) for pair in known}
    refuse_unlike_page("list backbones", found, of="runs")
    shown = command("list", "backbones", "--runs", "lift").out
    assert f"lift runs on {sum(runs.values())} of {len(known)} pretrained weights" in shown
    assert "webli" in shown and "ResNet 16" in shown and "stages" not in shown

    found = answer(command, "list", "--arch", "RN50")
    reasons = {line["name"]: line["reason"] for line in found["methods"]}
    assert reasons.keys() == METHODS.entries().keys() and "openai" in found["tags"]
    assert {name for name, why in reasons.items() if why} >= ADAPTERS
    assert not any(reasons[name] for name in ANYWHERE | PROMPTS)
    assert "image tower of RN50" in reasons["lift"] and "stage1=full" in reasons["crt"]
    refuse_unlike_page("list backbones", found, of="arch")
    assert "not applicable" in command("list", "backbones", "--arch", "RN50").out


def test_parts_that_methods_need() -> None:
    assert all(set(needs(name)) == {"blocks"} for name in ADAPTERS)
    assert all(set(needs(name)) == {"prompts"} for name in PROMPTS)
    assert not any(needs(name) for name in ANYWHERE)
    form = forms.Form("X", "ResNet", (), frozenset({"prompts"}))
    assert "of X, which is not a ViT" in reason("lift", form) and not reason("coop", form)


@pytest.mark.parametrize(
    ("arch", "family", "parts"),
    [
        ("ViT-B-32", "ViT", {"blocks", "prompts"}),
        ("roberta-ViT-B-32", "ViT", {"blocks"}),
        ("ViT-B-16-SigLIP2", "SigLIP", {"blocks"}),
        ("nllb-clip-base-siglip", "SigLIP", {"blocks"}),
        ("coca_ViT-B-32", "CoCa", {"blocks"}),
        ("EVA02-E-14", "EVA", {"blocks", "prompts"}),
        ("PE-Core-T-16-384", "PE-Core", {"blocks", "prompts"}),
        ("MobileCLIP2-L-14", "MobileCLIP-B, 2-L", {"blocks"}),
        ("MobileCLIP-S1", "MobileCLIP-S", set()),
        ("ViTamin-S", "ViTamin", {"prompts"}),
        ("convnext_base", "ConvNeXt", {"prompts"}),
        ("RN50", "ResNet", {"prompts"}),
    ],
)
def test_forms_of_architectures(arch: str, family: str, parts: set[forms.Part]) -> None:
    found = forms.form(arch)
    assert (found.family, found.parts) == (family, parts)
    assert found.names == [f"{arch}/{tag}" for tag in found.tags]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch",
    [
        "ViT-B-32", "ViT-B-16-SigLIP2", "coca_ViT-B-32", "EVA01-g-14", "EVA02-B-16",
        "PE-Core-T-16-384", "MobileCLIP-B", "MobileCLIP2-L-14", "MobileCLIP2-S0", "ViTamin-S",
        "convnext_large_d", "RN50",
    ],
)  # fmt: skip
def test_the_form_is_that_of_the_whole_model(arch: str) -> None:
    config: Any = open_clip.get_model_config(arch)
    custom = config.pop("custom_text", False)
    kind: Any = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with torch.device("meta"):
        model = (open_clip.CoCa if "multimodal_cfg" in config else kind)(**config)
    parts = {"blocks"} if image.supports(model.visual) else set()
    parts |= {"prompts"} if text.is_like_clips(getattr(model, "text", model)) else set()
    assert forms.form(arch).parts == parts


def test_unknown_names(command: Command) -> None:
    assert "lift" in the_line(command("list", "backbones", "--runs", "lif"))
    assert "RN50" in the_line(command("list", "backbones", "--arch", "RN51"))
    assert "list backbones --runs" in the_line(command("list", "methods", "--runs", "lift"))
