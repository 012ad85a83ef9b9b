"""Examples in the documentation run, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmarks.conformance.tiny import tiny_task
from methods.registry import METHODS
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
