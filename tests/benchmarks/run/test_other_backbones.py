"""Runs on backbones without texts, and at other image sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import run_benchmarks
from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from results.store import Store
from tests.benchmarks.small import DATA, FIELDS

NO_TEXTS = "needs texts, and timm:test_vit/random has no text tower"


def cells_of(methods: list[object], **more: object) -> list[Cell]:
    settings = [("glyphs100_lt", name, value) for name, value in FIELDS.items()]
    flags = {"backbone": "timm:test_vit/random", "image_size": 32, "seeds": "0", "device": "cpu"}
    sweep = read_sweep(None, flags | more | {"methods": methods, "datasets": ["glyphs100_lt"]})
    return plan.expand(plan.dataclasses.replace(sweep, set=tuple(settings))).cells


def test_methods_without_texts_run_and_the_others_say_why(tmp_path: Path, cache: Path) -> None:
    runs = [
        {"linear_probe": {"epochs": 1}},
        {"linear_probe": {"epochs": 1, "init": "class_mean", "tte": True}},
        {"logit_adjustment": {"epochs": 1}},
        {"tau_norm": {"epochs": 1, "init": "class_mean"}},
        "ncm",
        {"lift": {"epochs": 1}},
        {"full_finetune": {"epochs": 1, "tte": True}},
        {"crt": {"epochs": 2}},
        {"sage": {"epochs": 1, "guidance": "none"}},
    ]
    do_not = [
        "zero_shot", "coop", "lmpt", "clip_adapter", "tip_adapter", "prototype",
        {"logit_adjustment": {"mode": "zero_shot"}}, {"linear_probe": {"init": "text"}}, "sage",
    ]  # fmt: skip
    options = RunOptions(out=tmp_path / "out", data_root=tmp_path, device=torch.device("cpu"))
    runner.run(cells_of([*runs, *do_not]), options, Silent())
    records, problems = Store(tmp_path / "out").all()
    assert not problems  # each record's key follows from its specification
    by_label = {
        (r.method, str(r.config.get("init")), str(r.config.get("mode"))): r for r in records
    }
    done = [r for r in records if r.status == "done"]
    refused = [r for r in records if r.status == "not_applicable"]
    assert len(done) == len(runs)
    assert len(refused) == len(do_not), by_label
    assert {r.error for r in refused} == {NO_TEXTS}
    for record in done:
        assert record.image_size == 32
        assert record.nearest == ()
        assert record.backbone == "timm:test_vit/random"
        said = "image features: what timm's classifier reads, pooled by 'token'"
        assert said in record.details


def test_the_image_size_is_part_of_the_key() -> None:
    (plain,), (small,), (large,) = (cells_of(["ncm"], image_size=size) for size in (None, "32", 64))
    assert len({cell.identity for cell in (plain, small, large)}) == 3
    assert len({cell.features_name for cell in (plain, small, large)}) == 3
    assert (plain.image_size, small.image_size, large.image_size) == (None, 32, 64)


@pytest.mark.parametrize("size", ["0", "4096", "32.5", "large"])
def test_a_size_is_a_whole_number(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--methods", "ncm", *DATA, "--backbone", "glyph", "--image-size", size]
    assert run_benchmarks.main(words) == 2
    assert size in capsys.readouterr().err


def test_a_size_that_does_not_fit_ends_the_run_in_one_line(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--methods", "ncm", *DATA, "--backbone", "glyph", "--image-size", "33"]
    assert run_benchmarks.main([*words, "--out", str(tmp_path), "--device", "cpu"]) == 2
    said = capsys.readouterr().err.strip()
    assert "33 is no multiple of 8" in said
    assert "Traceback" not in said
