"""A plug-in with a module beside it, in every verb that runs or looks at its cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.cli.commands import Command, records

PLUGIN = '''
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from methods.base import Method, Predictor, Task
from methods.registry import register
from steps import length


@register("mine", paper="none", needs="features")
@dataclass(frozen=True)
class Mine(Method):
    """A loop of its own, which logs the temperature."""

    epochs: int = 3

    def fit(self, task: Task) -> Predictor:
        texts, labels = task.text_features(), task.train.labels
        logits = task.train.features() @ texts.T
        t = torch.zeros((), device=task.device, requires_grad=True)
        for epoch in range(self.epochs):
            some = torch.from_numpy(task.epoch_order(epoch)[:32]).to(task.device)
            loss = F.cross_entropy(t.exp() * logits[some], labels[some])
            with torch.no_grad():
                t -= length() * torch.autograd.grad(loss, t)[0]
            task.progress(epoch, self.epochs, 1, 1)
            task.log("temperature", epoch + 1, float(t.detach()))
        scale = t.detach().exp()
        seen = 32 * self.epochs
        return Predictor(lambda batch: scale * batch.inputs @ texts.T, 1, self.epochs, seen)
'''


@pytest.fixture
def mine(work: Path) -> Path:
    """A plug-in with the method `mine`; beside it the length of its steps."""
    folder = work / "plug-ins"
    folder.mkdir()
    (folder / "steps.py").write_text("def length(): return 0.1\n", encoding="utf-8")
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    (folder / ".#mine.py").symlink_to("nowhere")  # of an editor
    return folder / "mine.py"


@pytest.fixture
def sweep(mine: Path, small: list[str]) -> list[str]:
    """One cell of the plug-in."""
    return ["--methods", "mine", "--plugin", str(mine), "--seeds", "0", *small]


def states(command: Command, sweep: list[str]) -> set[str]:
    """States of the planned cells."""
    answer = json.loads(command("plan", *sweep, "--json").out)
    return {cell["state"] for cell in answer["cells"]}


def test_scalars_are_recorded_and_a_changed_neighbour_makes_the_record_stale(
    command: Command, sweep: list[str], mine: Path
) -> None:
    ended = command(*sweep)
    assert (ended.status, ended.err) == (0, "")
    (file,) = records().values()
    curves = json.loads(file.read_text("utf-8"))["curves"]
    assert curves.keys() == {"temperature"}
    epochs, values = zip(*curves["temperature"], strict=True)
    assert epochs == (1, 2, 3)
    assert len(set(values)) == 3
    assert states(command, sweep) == {"done"}
    (mine.parent / "steps.py").write_text("# long\ndef length(): return 0.1\n", "utf-8")
    assert states(command, sweep) == {"done"}
    (mine.parent / "steps.py").write_text("def length(): return 0.2\n", encoding="utf-8")
    assert states(command, sweep) == {"stale"}


@pytest.mark.children
def test_two_cells_at_a_time(command: Command, sweep: list[str]) -> None:
    ended = command(*sweep, "--seeds", "0,1", "--jobs", "2", "--set", "mine.epochs=2")
    assert (ended.status, ended.err) == (0, "")
    assert len(records()) == 2


def test_submitted_commands_name_the_plug_in(command: Command, sweep: list[str]) -> None:
    script = command("submit", *sweep, "--dry-run", "--slurm", "time=10").out
    assert "--plugin=" in script
    assert "plug-ins/mine.py" in script
