"""Names of cells and hashes of their specification."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.backbone.names import BackboneId
from benchmarks.datasets.base import DataSet, Family
from benchmarks.sweep.cell import Cell
from results.schema import Tuning


@dataclass(frozen=True)
class Pictures(Family):
    """Data that only name a cell."""

    name = "pictures"
    task = "single"
    version = "2"
    size: int = 8

    def load(self, root: Path, split_seed: int) -> DataSet:
        raise NotImplementedError

    def card(self) -> dict[str, str]:
        raise NotImplementedError


@pytest.fixture
def cell() -> Cell:
    return Cell(
        method="m",
        label="m (lr=0.1)",
        config={"lr": 0.1},
        family=Pictures(),
        dataset="pictures",
        backbone=BackboneId("net", "random", "net", "", "w1"),
        seed=3,
        split_seed=4,
        protocol="paper",
        select="last",
        precision="fp32",
        groups="lift",
        deterministic=False,
        fingerprint="f00d",
    )


def beginning(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


IDENTITY = (
    '{"config":{"lr":0.1},"dataset":"pictures","dataset_config":{"size":8},"dataset_version":"2",'
    '"groups":"lift","method":"m","precision":"fp32","protocol":"paper","seed":3,'
    '"select":"last","split_seed":4,%s"weights":"w1"}'
)


def test_the_identity_hashes_the_specification(cell: Cell) -> None:
    """Records are found by these hashes: another form would lose all that exist."""
    assert cell.identity == beginning(IDENTITY % "")
    assert cell.key == beginning(f'{{"fingerprint":"f00d","identity":"{cell.identity}"}}')


def test_a_transform_and_tuning_count_only_where_they_are_set(cell: Cell) -> None:
    resized = dataclasses.replace(cell, transform="lift")
    assert resized.identity == beginning(IDENTITY % '"transform":"lift",')
    tuned = dataclasses.replace(cell, tuning=Tuning("a search", 16, ("lr",)))
    assert tuned.identity == beginning(IDENTITY % '"tuning_trials":16,')


def test_features_have_a_name_of_their_own(cell: Cell) -> None:
    assert cell.features_name == beginning(
        '{"dataset":"pictures","dataset_config":{"size":8},"dataset_version":"2",'
        '"precision":"fp32","select":"last","split_seed":4,"transform":"checkpoint","weights":"w1"}'
    )


def test_a_title_names_the_seed_if_it_matters(cell: Cell) -> None:
    assert cell.title == "m (lr=0.1) · pictures · seed 3"
    assert dataclasses.replace(cell, deterministic=True).title == "m (lr=0.1) · pictures"
