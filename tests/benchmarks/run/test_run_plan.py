"""The plan that a run leaves in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.run.run_plan import PlannedCell, RunPlan, read_plan, taking_part
from benchmarks.run.runs import TakingPart, sweep_hash
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.plan import Planned
from benchmarks.sweep.settings import Sweep, read_sweep
from results.schema import Record
from results.store import Store
from tests.benchmarks.small import FIELDS
from tests.results.factory import failed_record, make_record, record_of


@pytest.fixture
def cells() -> list[Cell]:
    sets = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
    flags = {"methods": "lift", "datasets": "glyphs100_lt", "device": "cpu", "set": sets}
    return plan.expand(read_sweep(None, flags)).cells


@pytest.fixture
def estimator(tmp_path: Path) -> Estimator:
    return Estimator([], "cpu", FeatureIndex(tmp_path))


def published(
    out: Path, planned: Sequence[Planned], estimator: Estimator, **more: object
) -> RunPlan:
    with taking_part(Sweep(out=out, **more), planned, estimator):  # type: ignore[arg-type]
        found = read_plan(out)
    assert found is not None
    return found


def planned_with(cells: Sequence[Cell], *records: Record | None) -> list[Planned]:
    states = [r.status if r is not None else "missing" for r in records]
    return [Planned(c, s, r) for c, s, r in zip(cells, states, records, strict=True)]


def test_a_plan_has_what_status_needs(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    done, failed = record_of(cells[0]), failed_record("lift", key=cells[1].key)
    planned = planned_with(cells, done, failed, None)
    Store(tmp_path).write(done, {})
    found = published(tmp_path, planned, estimator, rerun="failed")
    assert found.sweep == sweep_hash([cell.key for cell in cells])
    assert [cell.key for cell in found.cells] == [cell.key for cell in cells]
    assert [cell.title for cell in found.cells] == [cell.title for cell in cells]
    assert [cell.expected_s for cell in found.cells] == [estimator.cell(c).seconds for c in cells]
    assert [cell.to_run for cell in found.cells] == [False, True, True]
    assert failed.provenance is not None
    assert [cell.replaces for cell in found.cells] == [None, failed.provenance.finished, None]
    assert [file.name for file in (tmp_path / "status").iterdir()] == ["plan.json"]


def test_a_stale_record_counts_if_it_is_accepted(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    old = record_of(cells[0], key="of-older-code")
    planned = [Planned(cells[0], "stale", old)]
    (accepted,) = published(tmp_path, planned, estimator, accept_stale=True).cells
    assert (accepted.key, accepted.to_run) == ("of-older-code", False)
    (anew,) = published(tmp_path, planned, estimator).cells
    assert (anew.key, anew.to_run, anew.replaces) == (cells[0].key, True, None)


def test_a_cell_is_pending_until_its_new_record_is_there() -> None:
    first, second = make_record(), make_record(provenance_finished="2026-01-01T00:02:00+00:00")
    assert first.provenance is not None
    missing = PlannedCell("k", "lift", None, True, None)
    assert missing.is_pending(None) and not missing.is_pending(first)
    again = PlannedCell("k", "lift", None, True, first.provenance.finished)
    assert again.is_pending(None) and again.is_pending(first) and not again.is_pending(second)
    kept = PlannedCell("k", "lift", None, False, None)
    assert kept.is_pending(None) and not kept.is_pending(first)


def test_a_later_run_replaces_the_plan_and_one_that_joins_adds_to_it(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    nothing, done = planned_with(cells, None, None, None), record_of(cells[0])
    first = published(tmp_path, nothing, estimator)
    # The first run has made a record; what it planned stays in the plan while it lives.
    now = planned_with(cells, done, None, None)
    first.write(tmp_path)
    with TakingPart(tmp_path, first.sweep):
        joined = published(tmp_path, now, estimator)
        assert joined.began == first.began
        assert [cell.to_run for cell in joined.cells] == [True, True, True]
        again = published(tmp_path, now, estimator, rerun="always")
        assert [cell.replaces is None for cell in again.cells] == [False, True, True]
    later = published(tmp_path, now, estimator)
    assert later.began > first.began
    assert [cell.to_run for cell in later.cells] == [False, True, True]


def test_a_run_of_which_nothing_came_leaves_no_plan(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    planned = planned_with(cells, None, None, None)
    with pytest.raises(UserError), taking_part(Sweep(out=tmp_path), planned, estimator):
        assert read_plan(tmp_path) is not None
        raise UserError("no data")
    assert list((tmp_path / "status").iterdir()) == []
    name = sweep_hash([cell.key for cell in cells])
    with TakingPart(tmp_path, name):  # another run needs it
        published(tmp_path, planned, estimator)
        assert read_plan(tmp_path) is not None
    with pytest.raises(KeyError), taking_part(Sweep(out=tmp_path), planned, estimator):
        Store(tmp_path).write(record_of(cells[0]), {})
        raise KeyError
    assert read_plan(tmp_path) is not None


def test_another_sweep_has_a_plan_of_its_own(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    first = published(tmp_path, planned_with(cells, None, None, None), estimator)
    other = RunPlan("other", 0.0, ())
    assert other.joining(first) == other and other.joining(None) == other


def test_a_strange_label_is_kept_within_bounds(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    object.__setattr__(cells[0], "label", "a\x1b\nb" + "c" * 5000)
    found = published(tmp_path, planned_with(cells, None, None, None), estimator)
    assert len(found.cells[0].title) <= 1000
    assert found.cells[0].title.startswith("a\\x1b b")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"sweep": "a", "began": 1}', '{"sweep": "a", "began": 1, "cells": 1}',
     '{"sweep": "a", "began": "x", "cells": []}', '{"sweep": "a", "began": 1, "cells": [1]}',
     '{"sweep": "a", "began": 1, "cells": [{"key": "k"}]}', "[" * 100_000,
     '{"sweep": "a", "began": 1, "cells": [{"key": "k", "title": "t", "expected_s": -1, '
     '"to_run": true, "replaces": null}]}'],
)  # fmt: skip
def test_what_is_no_plan_is_said(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_plan(tmp_path) is None and not caplog.messages
    (tmp_path / "status").mkdir()
    if text.startswith('{"'):  # right but for its content
        checksum = hashlib.sha256(text[1:].encode()).hexdigest()
        text = f'{{"checksum": "{checksum}",\n{text[1:]}'
    (tmp_path / "status" / "plan.json").write_text(text)
    assert read_plan(tmp_path) is None
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'status' / 'plan.json'} is damaged and not used")


def test_a_plan_with_a_flipped_bit_is_not_used(
    cells: list[Cell], tmp_path: Path, estimator: Estimator
) -> None:
    planned = planned_with(cells, None, None, None)
    (tmp_path / "status").mkdir()
    RunPlan.of("s", planned, estimator, rerun="missing", accept_stale=False).write(tmp_path)
    assert read_plan(tmp_path) is not None
    file = tmp_path / "status" / "plan.json"
    right = file.read_bytes()
    for place in range(0, len(right), 7):
        wrong = bytearray(right)
        wrong[place] ^= 1 << place % 8
        file.write_bytes(wrong)
        assert read_plan(tmp_path) is None, place
