"""The index of stored features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.inputs import feature_index
from benchmarks.inputs.feature_index import FeatureIndex, feature_file


def test_an_entry_follows_the_features(tmp_path: Path) -> None:
    index = FeatureIndex(tmp_path)
    for key in ("image-old", "image-new"):
        feature_file(tmp_path, key).touch()
    index.add("data", ["image-old"])
    assert index.is_stored("data")
    feature_file(tmp_path, "image-new").unlink()
    index.add("data", ["image-new"])  # the images changed, and their features are not stored
    assert not index.is_stored("data")
    feature_file(tmp_path, "image-new").touch()
    assert index.is_stored("data")


def test_features_of_another_version_are_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_file(tmp_path, "image-old").touch()
    FeatureIndex(tmp_path).add("data", ["image-old"])
    monkeypatch.setattr(feature_index, "FEATURES_VERSION", "later")
    assert not FeatureIndex(tmp_path).is_stored("data")


def test_without_a_folder_nothing_is_indexed() -> None:
    index = FeatureIndex(None)
    index.add("data", ["image-old"])
    assert not index.is_stored("data")


def test_a_damaged_entry_counts_as_missing(tmp_path: Path) -> None:
    index = FeatureIndex(tmp_path)
    index.add("data", [])
    (file,) = tmp_path.iterdir()
    long = json.dumps(["k" * 300])
    for content in (
        b"{",
        b"",
        b"null",
        b"[1]",
        b'{"a": 1}',
        b"\xff",
        b'["\\u0000"]',
        long.encode(),
    ):
        file.write_bytes(content)
        assert not index.is_stored("data"), content
    index.add("data", [])
    assert index.is_stored("data")
