"""The class of the nearest name, as records have it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from benchmarks.run import nearest
from benchmarks.run.nearest import nearest_others
from results.schema import Record, RecordError
from tests.results.factory import make_record


def test_each_class_has_the_other_one_of_the_largest_cosine() -> None:
    angles = torch.tensor([0.0, 0.3, 0.5, 2.0])
    features = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert nearest_others(features) == (1, 2, 1, 2)
    assert nearest_others(features[:1]) == ()


def test_classes_are_compared_with_all_others_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    features = F.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    whole = nearest_others(features)
    cosines = features @ features.T - 9 * torch.eye(50)
    assert whole == tuple(cosines.argmax(1).tolist())
    monkeypatch.setattr(nearest, "CHUNK", 7)
    assert nearest_others(features) == whole


@pytest.mark.parametrize("classes", [(1, 0), (1, 0, 3, 2, 5, 6), (1, 0, 3, 2, 5, -1)])
def test_a_record_refuses_classes_that_are_not_there(classes: tuple[int, ...]) -> None:
    record = make_record()
    kept = dataclasses.replace(record, nearest=(1, 0, 3, 2, 5, 4))
    assert Record.from_json(kept.to_json()).nearest == (1, 0, 3, 2, 5, 4)
    with pytest.raises(RecordError):
        Record.from_json(dataclasses.replace(record, nearest=classes).to_json())
