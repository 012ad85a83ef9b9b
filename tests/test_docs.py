"""Examples in the documentation run, and links lead somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch

from benchmarks.conformance.tiny import tiny_task
from benchmarks.sweep.plan import expand
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from reports.settings import read_settings
from tests.page_commands import PAGES, ROOT

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_are_methods_that_run(file: Path) -> None:
    (name,) = METHODS.load_file(file)
    task, test = tiny_task()
    batch = test.batch(torch.arange(len(test)).numpy(), needs="features")
    predictor = METHODS.get(name)().fit(task)
    with torch.no_grad():
        logits = predictor.logits(batch)
    assert logits.shape == (len(test), task.num_classes)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8"))
    missing = [x for x in links if "://" not in x and not (page.parent / x).exists()]
    assert not missing


@cache
def places() -> tuple[str, ...]:
    """Folders and files of the source, each with a slash before and behind it."""
    tops = [ROOT / name for name in ("benchmarks", "methods", "reports", "results", "configs",
                                     "tests", "docs")]  # fmt: skip
    found = [ROOT / "run_benchmarks.py", *tops, *(path for top in tops for path in top.rglob("*"))]
    return tuple(f"/{path.relative_to(ROOT).as_posix()}/" for path in found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_source_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:[a-z_]+/)+[a-z0-9_.]+\.(?:py|yaml))`", text)
    named += re.findall(r"`((?:benchmarks|methods|reports|configs|tests)/(?:[a-z_]+/)*)`", text)
    path = re.search(r"^## The path of a cell\n(?:.*\n)*?((?:    .*\n)+)", text, re.M)
    named += re.findall(r"(?:\w+/)*\w+\.py|\w+/ ", path[1]) if path else []
    missing = [x for x in named if not any(f"/{x.strip(' /')}/" in place for place in places())]
    assert not missing


def test_the_sweep_of_the_guide_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (text,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs/guide.md").read_text("utf-8"), re.M | re.S
    )
    file = tmp_path / "sweep.yaml"
    file.write_text(text, "utf-8")
    sweep = read_sweep(file, {"device": "cpu", "precision": "fp32"})
    rows = {cell.label for cell in expand(sweep).cells}
    assert set(sweep.compare) <= rows
    assert read_settings({}, dict(sweep.report), file).view.columns[:2] == ("overall", "few")
