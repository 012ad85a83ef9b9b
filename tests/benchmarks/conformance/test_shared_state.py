"""`untouched` and `process` see what a method changes for others, whatever way it does so."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch

from benchmarks.conformance.subject import Subject
from benchmarks.conformance.tiny import tiny_data
from benchmarks.conformance.worlds import own_backbone, thinned
from benchmarks.inputs.features import FeatureStore

WRITES = {
    "x = task.train.features().numpy(); x -= x.mean(0)": "the training features",
    "task.train.features().data.mul_(2)": "the training features",
    "torch.from_numpy(task.train.features().numpy())[0] = 0": "the training features",
    "task.train.labels.numpy()[:] = 0": "the training labels",
    "task.train.labels.detach().numpy()[:2] = task.train.labels[:2].flip(0)": None,
    "task.counts.numpy()[0] += 1": "the class counts",
    "task.train.labels = task.train.labels.clone()": "the training split's labels",
    "task.train.features = lambda: 1": "the training split's features",
    "task.backbone.model.logit_scale.data.zero_()": "the backbone's weights (logit_scale)",
    "task.backbone.model.logit_scale.detach().numpy().fill(1)": (
        "the backbone's weights (logit_scale)"
    ),
    "__import__('ctypes').memset(task.backbone.model.logit_scale.data_ptr(), 0, 4)": (
        "the backbone's weights (logit_scale)"
    ),
    "task.backbone.model.logit_scale.requires_grad_()": "the backbone's gradients (logit_scale)",
    "task.backbone.model.encode_image = print": "the backbone's attributes (encode_image)",
    "task.backbone.model.register_forward_hook(print)": "the backbone's hooks (as a whole)",
    "task.backbone.preprocess['size'] = 3": "the backbone's preprocess",
    "object.__setattr__(task.backbone, 'transform', None)": "the backbone's transform",
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_to_what_methods_share_is_named(mine: Callable[..., None], write: str) -> None:
    mine(f"w = weight(task); {write}; return head(w)")
    said = Subject("mine", "single").fitted()
    assert said.touched == [WRITES[write]] if WRITES[write] else said.touched == []
    assert said.disturbed == []


def test_a_write_to_features_stays_in_its_fit(mine: Callable[..., None]) -> None:
    mine("w = weight(task); task.train.features().mul_(2); return head(w)")
    subject = Subject("mine", "single")
    one, other = (subject.fitted().task.train.features() for _ in range(2))
    assert torch.equal(one, other) and float(one[0].norm()) == pytest.approx(2)


def test_features_are_of_the_backbone_as_it_was() -> None:
    """All methods share them, so none may come from the weights that a method left."""
    subject, data = Subject("zero_shot", "single"), thinned(tiny_data(), 1, 5)
    with torch.no_grad():
        subject.backbone.model.visual.proj.zero_()
    found = subject.task(data=data)[0].train.features()
    assert torch.equal(found, FeatureStore(None).images(own_backbone(), data.train.images))


CHANGES = {
    "torch.set_default_dtype(torch.float64)": (
        "torch.get_default_dtype was torch.float64, is torch.float32 again"
    ),
    "torch.set_grad_enabled(False)": "torch.is_grad_enabled was False, is True again",
    "torch.nn.modules.module.register_module_forward_hook(print)": (
        "torch's hooks global_forward_hooks (0) changed, is put back"
    ),
    "F.normalize = print": "torch.nn.functional.normalize was replaced, is put back",
    "randomness.key = print": "benchmarks.randomness.key was replaced, is put back",
    "__import__('os').environ.update(OMP_NUM_THREADS='9')": (
        "os.environ (OMP_NUM_THREADS) changed, is put back"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_process_is_named_and_put_back(
    mine: Callable[..., None], change: str
) -> None:
    mine(f"w = weight(task); {change}; return head(w)")
    subject = Subject("mine", "single")
    said = subject.fitted()
    assert said.touched == []
    (line,) = [one for one in said.disturbed if "hook" in one or one == CHANGES[change]]
    assert line.split(" (")[0] == CHANGES[change].split(" (")[0]
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


def test_a_method_that_raises_leaves_no_trace(mine: Callable[..., None]) -> None:
    mine("task.backbone.model.train(); __import__('sys').path.clear(); raise ValueError")
    subject, path = Subject("mine", "single"), list(sys.path)
    before = subject.backbone
    with pytest.raises(ValueError):
        subject.fitted()
    assert sys.path == path
    assert subject.backbone is not before
