"""The verbs `list`, `show` and `download`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.benchmarks.cli.commands import Command


def test_list(command: Command) -> None:
    everything = command("list")
    assert everything.status == 0
    parts = {
        "methods": ("lift", "zero_shot", "images", "features", "Zero-shot CLIP"),
        "datasets": ("cifar100_lt", "glyphs100_lt", "_irR", "single"),
        "backbones": ("glyph", "ARCH/random", "local-dir:PATH", "ViT-B-16-quickgelu/openai"),
    }
    for what, words in parts.items():
        part = command("list", what)
        assert part.status == 0
        for word in words:
            assert word in part.out
            assert word in everything.out
        assert len(part.out) < len(everything.out)


def test_list_shows_a_plug_in_and_where_it_comes_from(command: Command, mine: Path) -> None:
    listed = command("list", "methods", "--plugin", "mine.py")
    assert re.search(r"\bmine +features +single +Mine\. \[mine\.py\] *\n", listed.out)
    assert "[" not in listed.out.replace("[mine.py]", "")
    methods = json.loads(command("list", "--plugin", "mine.py", "--json").out)["methods"]
    assert {one["name"]: one["source"] for one in methods if one["source"]} == {"mine": "mine.py"}
    assert "mine" not in command("list", "methods").out
    assert command("list", "--plugin", "nowhere.py").status == 2


@pytest.mark.slow  # a fit of every method
@pytest.mark.children
def test_an_architecture_is_tried_with_a_plug_in(command: Command, mine: Path) -> None:
    ended = command("list", "--arch", "RN50", "--plugin", "mine.py", "--json")
    reasons = {one["name"]: one["reason"] for one in json.loads(ended.out)["methods"]}
    assert ended.status == 0
    assert reasons["mine"] == reasons["zero_shot"] == ""


def test_show_a_method(command: Command, mine: Path) -> None:
    ended = command("show", "lift")
    assert ended.status == 0
    for word in ("arXiv 2309.10019", "images", "fingerprint", "epochs", "0.01", "lift.py"):
        assert word in ended.out
    assert "Width of adaptformer" in ended.out  # the documentation of a field
    assert "reconstruction" in command("show", "sage").out
    assert "multi-label: CoOp's multi-label form is our" in command("show", "coop").out
    assert "mine.py" in command("show", "mine", "--plugin", "mine.py").out


def test_show_prints_the_choices_of_a_field(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("show", "linear_probe").out
    assert "cosine | linear" in shown
    folded = " ".join(shown.split())
    assert (
        "auto | balanced_softmax | cb | ce | focal | grw | la | lade | ldam | ldam_drw | asl"
        in folded
    )
    assert max(map(len, shown.splitlines())) <= 80
    assert "logits | softmax" in command("show", "glyphscenes_lt").out


def test_show_a_data_set(command: Command) -> None:
    ended = command("show", "cifar100_lt_ir50")
    assert ended.status == 0
    for word in ("12,608", "41 / 41 / 18", "imbalance 50", "cifar-100-python"):
        assert word in ended.out


def test_download_when_nothing_is_missing(command: Command) -> None:
    assert "needs no download" in command("download", "glyphs100_lt").out
    assert "in place" in command("download", "glyph").out
