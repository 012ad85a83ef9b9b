"""Baselines of a sweep: `compare` accepts its own labels first, then those of its tables."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks.errors import UserError
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Sweep, read_sweep
from reports.aggregate import build_tables
from reports.compare.rows import also_named, find_row
from reports.table import Table
from tests.results.factory import make_record

CONFIGS = Path(__file__).parents[3] / "configs"
ABLATION = CONFIGS / "sage_ablation.yaml"


def _named(sweep: Sweep, label: str) -> list[Cell]:
    """The cells a label names, of the first seed."""
    expansion = plan.expand(sweep)
    identities = expansion.named([label])[label]
    return [c for c in expansion.cells if c.identity in identities and c.seed == 0]


def _sweep(tmp_path: Path, text: str) -> Sweep:
    (tmp_path / "sweep.yaml").write_text(dedent(text))
    return read_sweep(tmp_path / "sweep.yaml", {"device": "cpu"})


def _table(sweep: Sweep) -> Table:
    """The table that the sweep will end with, of made-up numbers."""
    records = [
        make_record(
            c.method, c.seed, config=c.config, tuning=c.tuning, identity=c.identity,
            protocol=c.protocol, deterministic=c.deterministic,
        )
        for c in plan.expand(sweep).cells
    ]  # fmt: skip
    (table,) = build_tables(records)
    return table


def test_every_label_of_a_plan_names_its_own_row() -> None:
    sweep = read_sweep(ABLATION, {"device": "cpu"})
    for cell in plan.expand(sweep).cells:
        if cell.seed == 0:
            assert [c.key for c in _named(sweep, cell.label)] == [cell.key], cell.label


def test_a_label_that_only_the_table_has_names_its_row_there() -> None:
    sweep = read_sweep(ABLATION, {"device": "cpu"})
    own = {cell.label for cell in plan.expand(sweep).cells}
    labels = [row.label for row in _table(sweep).rows]
    assert {"lift (bottleneck=62)", "lift (tuned, 8 trials)", "lift (text=names)"} <= set(labels)
    for row in _table(sweep).rows:
        if row.label not in own:
            (cell,) = _named(sweep, row.label)
            assert cell.identity in {record.identity for record in row.done}


def test_the_labels_of_plans_and_tables_find_rows_of_records_too() -> None:
    """Records do not know their sweep: what a label leaves out is at its default there."""
    sweep = read_sweep(ABLATION, {"device": "cpu"})
    table = _table(sweep)
    printed = {row.label for row in table.rows}
    for row in table.rows:
        assert find_row(table, row.label) is row
    for cell in plan.expand(sweep).cells:
        if cell.label not in printed:
            row = find_row(table, cell.label)
            assert row is not None
            assert cell.identity in {record.identity for record in row.done}, cell.label
    # Most rows of lift have text=both, so the table calls that one `lift`: said, not guessed.
    lift, other = find_row(table, "lift"), also_named(table, "lift")
    assert lift is not None
    assert other is not None
    assert lift.done[0].config["text"] == "both"
    assert other.label == "lift (text=names)"
    assert also_named(table, "lift (text=both)") is None


def test_a_name_alone_is_the_row_of_nothing_but_defaults(tmp_path: Path) -> None:
    sweep = _sweep(
        tmp_path,
        """
        methods: [linear_probe, linear_probe: {loss: la}]
        datasets: [glyphs100_lt]
        seeds: [0]
        compare: [linear_probe, linear_probe (loss=la)]
        """,
    )
    table = _table(sweep)
    assert "linear_probe" not in {row.label for row in table.rows}
    for label, loss in zip(sweep.compare, ("auto", "la"), strict=True):
        row = find_row(table, label)
        assert row is not None
        assert [c.config["loss"] for c in _named(sweep, label)] == [loss]
        assert row.done[0].config["loss"] == loss


def test_a_value_may_be_written_as_a_file_or_a_table_does(tmp_path: Path) -> None:
    sweep = _sweep(
        tmp_path,
        """
        methods: [tip_adapter, tip_adapter: {finetune: true, lr: 2e-3}]
        datasets: [glyphs100_lt]
        seeds: [0]
        """,
    )
    for settings in ("finetune=True", "finetune=true", "lr=2e-3", "lr=0.002, finetune=True"):
        label = f"tip_adapter ({settings})"
        row = find_row(_table(sweep), label)
        assert row is not None
        assert row.done[0].config["finetune"] is True
        assert [c.config["finetune"] for c in _named(sweep, label)] == [True]


def test_a_row_whose_recipe_all_share_goes_by_its_name(tmp_path: Path) -> None:
    sweep = read_sweep(CONFIGS / "paper_table_adapters.yaml", {"device": "cpu"})
    for label in ("lift", "lift [tuned, 8 trials]", "lift (text=names)"):
        cells = _named(sweep, label)
        assert {c.dataset for c in cells} == {"glyphs100_lt", "glyphscenes_lt"}
        assert {c.label for c in cells} == {"lift [tuned, 8 trials]"}


@pytest.mark.parametrize("compare", ["lift (lr=0.5)", "lift [tuned, 3 trials]", "sage"])
def test_a_label_that_names_no_row_is_refused(tmp_path: Path, compare: str) -> None:
    text = f"methods: [lift, ncm]\ndatasets: [glyphs100_lt]\ncompare: '{compare}'"
    with pytest.raises(UserError, match=r"row of this sweep.*lift") as caught:
        plan.expand(_sweep(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_label_that_names_several_rows_is_refused(tmp_path: Path) -> None:
    text = """
        methods: [lift: {text: both, lr: 0.1}, lift: {text: both, lr: 0.5}]
        datasets: [glyphs100_lt]
        compare: lift (text=both)
        """
    with pytest.raises(UserError, match=r"several variants .*'lift \(text=both, lr=0.1\)'; 'lift"):
        plan.expand(_sweep(tmp_path, text))


def test_a_part_of_a_sweep_may_hold_no_cell_of_the_baseline(tmp_path: Path) -> None:
    sweep = _sweep(
        tmp_path,
        """
        methods: [ncm, zero_shot]
        datasets: [glyphs100_lt]
        compare: ncm
        shard: 2/2
        """,
    )
    expansion = plan.expand(sweep)
    assert [c.method for c in expansion.cells] == ["zero_shot"]
    assert len(expansion.baselines["ncm"]) == 1


def test_flags_may_leave_out_baselines_of_a_file() -> None:
    said: list[str] = []
    one = read_sweep(ABLATION, {"device": "cpu", "methods": "sage"})
    expansion = plan.expand(one, said.append)
    assert {c.method for c in expansion.cells} == {"sage"}
    assert list(expansion.baselines) == ["sage"]
    assert said == []  # who names the methods knows which are out
    other = read_sweep(ABLATION, {"device": "cpu", "methods": "lift,sage"})
    assert plan.expand(other, said.append).cells
    (line,) = said
    assert line == "Not compared with 'lift (text=both)': with these flags no row is called so."
