"""The step of published code from a checkout: here a stand-in with the names of its parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks.errors import UserError
from benchmarks.tools.speed import theirs

CLIP = """
from torch import nn

class CLIP(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.visual = nn.Linear(3 * sizes[1] ** 2, 4)
"""
MODELS = """
from torch import nn
from clip.model import CLIP

class PeftModelFromCLIP(nn.Module):
    def __init__(self, cfg, clip, classes):
        super().__init__()
        assert isinstance(clip, CLIP) and cfg.adaptformer and cfg.vpt_deep is None
        self.visual, self.tuner, self.head = clip.visual, nn.Linear(4, 4), nn.Linear(4, classes)
        kept.append(self)

    def forward(self, images):
        return self.head(self.tuner(self.visual(images.flatten(1))))
"""
LOSSES = """
from torch.nn import functional as F

class LogitAdjustedLoss:
    def __init__(self, counts):
        self.counts = counts

    def __call__(self, logits, labels):
        return F.cross_entropy(logits + self.counts.log(), labels)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for file, text in zip(theirs.FILES, (CLIP, MODELS, LOSSES), strict=True):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(text)
    return tmp_path


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """Models that the stand-in makes: its modules are forgotten, so it leaves them here."""
    made: list[torch.nn.Module] = []
    monkeypatch.setattr("builtins.kept", made, raising=False)
    return made


def test_a_step_changes_tuner_and_head_alone(checkout: Path, kept: list[torch.nn.Module]) -> None:
    run = theirs.step(checkout, torch.randn(5, 3, 4, 4), 3, "fp32")
    before = {name: value.clone() for name, value in kept[0].state_dict().items()}
    run()
    changed = {n for n, value in kept[0].state_dict().items() if not value.equal(before[n])}
    assert changed == {"tuner.weight", "tuner.bias", "head.weight", "head.bias"}


def test_the_names_of_the_checkout_are_free_again(checkout: Path) -> None:
    theirs.step(checkout, torch.randn(5, 3, 4, 4), 3, "fp32")
    assert not {"clip", "clip.model", "models", "models.models", "utils"} & set(sys.modules)
    assert str(checkout) not in sys.path


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("import not_installed_here", "needs a package: No module named 'not_installed_here'"),
        ("", "another version of the code: .*LogitAdjustedLoss"),
    ],
)
def test_code_that_cannot_be_used_is_one_line(checkout: Path, broken: str, said: str) -> None:
    (checkout / "utils/losses.py").write_text(broken)
    with pytest.raises(UserError, match=said):
        theirs.step(checkout, torch.randn(5, 3, 4, 4), 3, "fp32")


def test_another_folder_is_refused(checkout: Path) -> None:
    (checkout / "models/models.py").unlink()
    with pytest.raises(UserError, match=r"has no models/models.py"):
        theirs.step(checkout, torch.randn(5, 3, 4, 4), 3, "fp32")
