from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import estimate, plan
from benchmarks.plan import Cell
from benchmarks.settings import read_sweep
from results.store import Store
from tests.results.factory import make_record

CONFIGS = Path(__file__).parents[2] / "configs"
SWEEPS = ("paper_table", "sage_ablation", "loss_ablation", "imbalance_sweep")


@pytest.fixture
def cell() -> Cell:
    return plan.expand(read_sweep(None, {"methods": "lmpt", "datasets": "glyphs100_lt"}))[0]


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes records of so many seconds into a folder that stands for results/reference."""
    monkeypatch.setattr(estimate, "REFERENCE", tmp_path)
    estimate._reference.cache_clear()
    yield lambda seconds, **names: Store(tmp_path / "sweep").write(timed(seconds, **names), {})
    estimate._reference.cache_clear()


def timed(seconds: float, dataset: str = "glyphs100_lt") -> Any:
    return make_record(
        "lmpt", dataset=dataset, backbone="glyph", cost_fit_s=seconds, cost_eval_s=0.0
    )


def test_a_sweep_without_records_goes_by_the_reference_results(cell: Cell, reference: Any) -> None:
    reference(70.0)
    assert estimate.estimate(cell, [], "cpu") == 70.0


def test_reference_results_of_other_data_say_nothing(cell: Cell, reference: Any) -> None:
    reference(70.0, dataset="glyphs100_lt_ir10")
    assert estimate.estimate(cell, [], "cpu") == 1.0


def test_the_sweeps_own_records_come_first(cell: Cell, reference: Any) -> None:
    reference(70.0)
    own = [timed(20.0), timed(40.0)]
    assert estimate.estimate(cell, own, "cpu") == 30.0


@pytest.mark.parametrize("name", SWEEPS)
def test_reference_sweeps_fit_an_hour_on_two_cores(name: str) -> None:
    cells = plan.expand(read_sweep(CONFIGS / f"{name}.yaml", {}))
    known = [r for r in estimate._reference() if r.cost is not None]
    timed = {(r.method, r.dataset) for r in known}
    needed = {(c.method, c.dataset) for c in cells if estimate.serves(c)}
    assert needed <= timed
    # Processes of one thread each; on the busy machine that made them a cell took a fifth longer.
    assert sum(estimate.estimate(cell, [], "cpu") or 0.0 for cell in cells) / 2 / 1.2 <= 3600
