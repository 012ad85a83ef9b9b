"""The description in a model file, which may be anything in a file from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from benchmarks.backbones import Backbone
from benchmarks.errors import UserError
from benchmarks.run.function_writer import Unsaveable
from benchmarks.run.model_files import checksum, read_model, save_model
from methods.base import Predictor
from results.json_form import PROSE
from tests.benchmarks.test_flipped_bits import saved_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file, _ = saved_model(tmp_path_factory.mktemp("model"))
    return file


def changed(model: Path, to: Path, texts: Mapping[str, str], about: Mapping[str, Any]) -> None:
    """Write the model with other texts about it and a right checksum."""
    with safe_open(model, framework="pt") as opened:
        metadata = dict(opened.metadata())
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    metadata["about"] = json.dumps(json.loads(metadata["about"]) | about)
    metadata = {name: text for name, text in (metadata | texts).items() if text}
    save_file(tensors, to, metadata | {"sha256": checksum(tensors, metadata)})


def test_a_model_is_read_with_the_types_of_its_description(model: Path, tmp_path: Path) -> None:
    changed(model, tmp_path / "m.safetensors", {}, {})
    read = read_model(tmp_path / "m.safetensors")
    assert read.about == read_model(model).about
    assert (read.about.method, read.about.descriptions[:0]) == ("ncm", ())


@pytest.mark.parametrize(
    ("texts", "about"),
    [
        ({"format": ""}, {}),
        ({"function": ""}, {}),
        ({"function": "["}, {}),
        ({"function": "[]"}, {}),
        ({"function": '{"form": null}'}, {}),
        ({"about": "[]"}, {}),
        ({}, {"extra": 1}),
        ({}, {"method": 3}),
        ({}, {"config": [1]}),
        ({}, {"task": "both"}),
        ({}, {"needs": "pixels"}),
        ({}, {"views": "some"}),
        ({}, {"class_names": 3}),
        ({}, {"class_names": ["a"]}),
        ({}, {"train_counts": ["1"] * 4}),
        ({}, {"thresholds": [0.5]}),
        ({}, {"upright": "no"}),
        ({}, {"seed": None}),
    ],
)
def test_a_description_that_cannot_be_is_refused(
    model: Path, tmp_path: Path, texts: dict[str, str], about: dict[str, Any]
) -> None:
    file = tmp_path / "m.safetensors"
    changed(model, file, texts, about)
    with pytest.raises(UserError, match="not a model of this version of the suite"):
        read_model(file)


def test_a_description_that_could_not_be_read_is_not_written(
    model: Path, tmp_path: Path, small: Backbone
) -> None:
    about = replace(read_model(model).about, label="x" * (PROSE + 1))
    with pytest.raises(Unsaveable, match=r"about\.label has a wrong type or value"):
        save_model(tmp_path / "m.safetensors", about, Predictor(nn.Linear(2, 2)), small)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
