"""Texts of classes without images."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.datasets import registry as datasets
from benchmarks.datasets.class_texts import class_texts
from benchmarks.errors import UserError
from reports.page.cards import descriptions
from tests.results.factory import make_record


@pytest.mark.parametrize("name", ["glyphs100_lt", "glyphscenes_lt"])
def test_they_are_those_of_the_loaded_data(name: str, tmp_path: Path) -> None:
    family, _ = datasets.resolve(name)
    config = family(classes=6, test_per_class=1, n_max=2)
    loaded = config.load(tmp_path, 0).texts
    assert class_texts(f"{name} (classes=6)", config.pinned()) == loaded


def test_those_of_a_package_are_known_without_its_images() -> None:
    texts = class_texts("cifar100_lt_ir50", {"imbalance": 50.0, "texts": "own"})
    assert "cow or bull" in texts.class_names
    assert texts.descriptions is not None and len(texts.descriptions) == 100
    assert class_texts("cifar100_lt", {"descriptions": "none"}).descriptions is None


def test_data_sets_of_others_and_files_that_are_not_here() -> None:
    assert class_texts("my_birds", {}) is None
    assert class_texts("my.yaml", {}) is None
    with pytest.raises(UserError):
        class_texts("cifar100_lt", {"descriptions": "mine.json@12345678"})
    with pytest.raises(UserError):
        class_texts("glyphs100_lt", {"classes": 100_000})


def test_descriptions_are_shown_if_their_hash_is_that_of_the_record() -> None:
    knobs = {"descriptions": "auto"}
    texts = class_texts("cifar10_lt", knobs)
    made = {"dataset": "cifar10_lt", "dataset_config": knobs}
    same = make_record(provenance_text_hash=texts.digest, **made)
    assert descriptions(same) == texts.descriptions
    assert descriptions(make_record(**made)) == ()
    assert descriptions(make_record(dataset="my_birds")) == ()
