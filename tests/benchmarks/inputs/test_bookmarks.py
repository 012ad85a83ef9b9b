"""Notes of which features are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.inputs import bookmarks
from benchmarks.inputs.bookmarks import Bookmarks, feature_file


def test_a_note_follows_the_features(tmp_path: Path) -> None:
    marks = Bookmarks(tmp_path)
    for key in ("image-old", "image-new"):
        feature_file(tmp_path, key).touch()
    marks.note("data", ["image-old"])
    assert marks.at_hand("data")
    feature_file(tmp_path, "image-new").unlink()
    marks.note("data", ["image-new"])  # the images are others now, and their features not stored
    assert not marks.at_hand("data")
    feature_file(tmp_path, "image-new").touch()
    assert marks.at_hand("data")


def test_features_of_another_version_are_not_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_file(tmp_path, "image-old").touch()
    Bookmarks(tmp_path).note("data", ["image-old"])
    monkeypatch.setattr(bookmarks, "FEATURES_VERSION", "later")
    assert not Bookmarks(tmp_path).at_hand("data")


def test_without_a_folder_nothing_is_noted() -> None:
    marks = Bookmarks(None)
    marks.note("data", ["image-old"])
    assert not marks.at_hand("data")


def test_a_damaged_note_is_none(tmp_path: Path) -> None:
    marks = Bookmarks(tmp_path)
    marks.note("data", [])
    (file,) = tmp_path.iterdir()
    file.write_text("{", encoding="utf-8")
    assert not marks.at_hand("data")
    marks.note("data", [])
    assert marks.at_hand("data")
