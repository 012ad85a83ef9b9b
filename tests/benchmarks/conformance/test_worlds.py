"""Variants of the tiny world."""

from __future__ import annotations

import pytest

from benchmarks.conformance.tiny import tiny_data
from benchmarks.conformance.worlds import restricted, thinned
from benchmarks.datasets.base import TaskKind


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_classes_and_images_can_be_left_out(kind: TaskKind) -> None:
    data = tiny_data(kind)
    for images in (0, 1):
        few = thinned(data, 2, images)
        assert few.counts[2] == images
        assert set(few.train.ids) < set(data.train.ids)
        for i, sid in enumerate(few.train.ids):  # what is left is what it was
            was = data.train.ids.index(sid)
            assert (few.train.labels[i] == data.train.labels[was]).all()
            assert (few.train.images.read(i) == data.train.images.read(was)).all()
    pair = restricted(data, [3, 1])
    assert pair.texts.class_names == tuple(data.texts.class_names[c] for c in (3, 1))
    assert (pair.counts == data.counts[[3, 1]]).all()
