"""The declared protocol of losses, and how a loss is found by its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import NotApplicable
from benchmarks.plugins.static_reader import read_fields
from methods.base import Batch, Task
from methods.parts import losses
from methods.parts.heads.linear_classifiers import LinearHead, OnFeatures
from methods.parts.losses import loss_files, loss_names, named_loss, single_label
from methods.parts.losses.base import Loss, is_coupled
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.schedules import Schedule, Training
from tests.conftest import ROOT

SETTINGS = {"tau": 1.0, "scale": 25.0, "db_neg_scale": 2.0, "db_mu": 0.2}


def training(loss: Any) -> Training:
    task, _ = tiny_task()
    module = OnFeatures(LinearHead(task.normal_per_class("head", 16)))
    return Training(task, module, loss, Schedule(1, 16, 0.1))


# ---- the protocol --------------------------------------------------------------------------------


def test_a_loss_that_misspells_or_forgets_coupled_is_refused_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match="Mean: a Loss must set `coupled` to True or False"):

        class Mean(Loss):
            copuled = True

    with pytest.raises(TypeError, match="Forgotten: a Loss must set `coupled`"):

        class Forgotten(Loss):
            pass

    with pytest.raises(TypeError, match="Wrong: a Loss must set `coupled`"):

        class Wrong(Loss):
            coupled = "yes"  # type: ignore[assignment]


@pytest.mark.parametrize("name", ["at_epochs", "on_epoch", "at_epcoh", "atepoch"])
def test_a_misspelt_at_epoch_is_refused(name: str) -> None:
    def method(self: Any, epoch: int, epochs: int) -> None: ...

    with pytest.raises(TypeError, match=f"Late.{name} is never called: did you mean at_epoch"):
        type("Late", (Loss,), {"coupled": False, name: method})


def test_a_subclass_inherits_coupled_and_may_change_it() -> None:
    class Coupled(Loss):
        coupled = True

    class Heir(Coupled):
        pass

    class Other(Coupled):
        coupled = False

    assert [is_coupled(c()) for c in (Coupled, Heir, Other)] == [True, True, False]
    assert not is_coupled(cross_entropy)


def test_the_protocol_is_refused_where_the_loop_would_ignore_it() -> None:
    class Module(nn.Module):
        coupled = True

    class Plain:
        coupled = True

        def __call__(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
            raise AssertionError

    class Late(Plain):
        def at_epoch(self, epoch: int, epochs: int) -> None: ...

    for loss in (Module(), Plain(), Late()):
        with pytest.raises(TypeError, match=f"{type(loss).__name__}: derive it from .*Loss"):
            training(loss)


def test_plain_functions_and_callables_without_a_protocol_stay_losses() -> None:
    class Callable:
        def __call__(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
            raise AssertionError

    for loss in (cross_entropy, Callable(), lambda logits, labels, batch: logits[:, 0]):
        assert training(loss).loss is loss


# ---- by name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_every_file_is_a_loss_for_its_kind_of_task(kind: Any) -> None:
    task, _ = tiny_task(kind=kind)
    logits, labels = torch.zeros(8, 4), task.train.labels[:8]
    for name in loss_names(kind):
        assert loss_files(name)
        loss = named_loss(name, task, **SETTINGS)
        assert loss(logits, labels, Batch(torch.arange(8), None, None)).shape == (8,)


def test_a_new_file_is_a_loss_and_gets_the_settings_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "single_label"
    folder.mkdir()
    (folder / "mine.py").write_text("def make(task, *, tau, power=2.0):\n    return tau, power\n")
    (folder / "_helper.py").touch()
    monkeypatch.setattr(losses, "FOLDER", tmp_path)
    monkeypatch.setattr(single_label, "__path__", [str(folder)])
    monkeypatch.delitem(sys.modules, f"{single_label.__name__}.mine", raising=False)
    task, _ = tiny_task()
    assert loss_names("single") == ["mine"]
    found: Any = named_loss("mine", task, **SETTINGS)
    assert found == (1.0, 2.0)
    with pytest.raises(TypeError, match="tau"):
        named_loss("mine", task, tua=1.0)


def test_a_loss_of_the_other_kind_of_task_is_not_applicable() -> None:
    def refused(name: str, task: Task) -> str:
        with pytest.raises(NotApplicable) as caught:
            named_loss(name, task, **SETTINGS)
        return str(caught.value)

    single, multi = (tiny_task(kind=kind)[0] for kind in ("single", "multi"))
    assert refused("asl", single).startswith(
        "asl is not a loss for single-label data: choose balanced_softmax, cb, ce,"
    )
    assert refused("ce", multi) == (
        "ce is not a loss for multi-label data: choose asl, bal, bce, db, focal"
    )
    assert "__init__ is not a loss" in refused("__init__", single)


def test_the_choices_of_a_loss_field_follow_the_folders() -> None:
    fields = read_fields(ROOT / "methods" / "linear_probe.py", "LinearProbe")
    assert fields is not None
    every = {"auto", *loss_names("single"), *loss_names("multi")}
    assert set(fields["loss"].hint.__args__) == every
    for name, class_name in (("coop", "CoOp"), ("lmpt", "Lmpt")):
        fields = read_fields(ROOT / "methods" / f"{name}.py", class_name)
        assert fields is not None and list(fields["loss"].hint.__args__) == loss_names("multi")


def test_the_lookup_imports_neither_torch_nor_a_loss() -> None:
    """The reader of fields imports it; a method depends only on the loss that it is given."""
    code = (
        "import sys, methods.parts.losses as losses; losses.loss_names('single'); "
        "print([m for m in sys.modules if m == 'torch' or m.startswith('methods.parts.losses.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
