"""An addition by an author is one function and one line, or one file, and no edit elsewhere.

Each test makes the addition for real, in a process of its own.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

ADD_METRIC = '''
import sys
import types
from pathlib import Path

source = Path("benchmarks/metrics.py").read_text(encoding="utf-8")
FUNCTION = """
def geometric_mean(outcome: Outcome) -> float | None:
    values = outcome.values[outcome.tested()]
    return float(np.exp(np.log(values).mean())) if values.size else None

"""
LINE = """
    geometric_mean: float | None = metric(geometric_mean, printed=True, compared=True, drawn=True)
"""
for mark, addition in (("# ---- declarations", FUNCTION), ("    per_class: tuple", LINE)):
    assert source.count(mark) == 1
    source = source.replace(mark, addition + mark)
# A metric where lower is better becomes a column as well.
ECE = 'calibration_error, tasks=("single",), higher_is_better=False,'
assert source.count(ECE) == 1
source = source.replace(ECE, ECE + " printed=True,")
module = types.ModuleType("benchmarks.metrics")
sys.modules["benchmarks.metrics"] = module
exec(compile(source, "benchmarks/metrics.py", "exec"), module.__dict__)
'''

USE_METRIC = (
    ADD_METRIC
    + """
import io
import json

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.metrics import single_label_metrics
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer
from reports.compare.families import judge
from reports.compare.files import comparisons_csv, pairs_markdown
from reports.compare.rows import find_row
from reports.figures.groups import groups as groups_figure
from reports.figures.registry import TABLE_FIGURES
from reports.report import write_report
from results.schema import Record, RecordError
from tests.results.factory import make_record

TABLE_FIGURES.clear()  # slow; the panels of one are read below
out = Path(sys.argv[1])
rng = np.random.default_rng(0)
labels = np.repeat(np.arange(6), 50)
groups = np.array(["many", "many", "medium", "medium", "few", "few"])
records, predictions = [], {}
for method, chance in (("sage", 0.8), ("lift", 0.5)):
    predicted = np.where(rng.random(300) < chance, labels, (labels + 1) % 6)
    metrics = single_label_metrics(predicted, np.full(300, 0.99), labels, groups)
    record = make_record(method, metrics=metrics, deterministic=True)
    records.append(Record.from_json(json.loads(json.dumps(record.to_json()))))
    ids = np.array([f"image {i}" for i in range(300)])
    predictions[record.key] = {"ids": ids, "labels": labels, "top5": predicted[:, None]}
console = Console(width=120, file=io.StringIO(), color_system=None)
write_report(records, out, console=console)
(out / "terminal.txt").write_text(console.file.getvalue(), encoding="utf-8")

(table,) = build_tables(records)
comparer = Comparer(lambda record: predictions[record.key])
comparison = comparer.compare(table, find_row(table, "sage"), find_row(table, "lift"))
family = judge([comparison])
(out / "compare.md").write_text(pairs_markdown(family), encoding="utf-8")
(out / "compare.csv").write_text(comparisons_csv([family]), encoding="utf-8")
panels = [axes.get_title().replace("\\n", " ") for axes in groups_figure(table).axes]
old = make_record("ncm").to_json()
del old["metrics"]["geometric_mean"]
try:
    Record.from_json({**old, "metrics": {**old["metrics"], "geometric_meen": 1.0}})
except RecordError as error:
    refused = str(error)
print(json.dumps({
    "panels": panels,
    "values": {r.method: [r.metrics.geometric_mean, r.metrics.per_class] for r in records},
    "of an old record": Record.from_json(old).metrics.geometric_mean,
    "refused": refused,
}))
"""
)


def run(code: str, *arguments: Path) -> Any:
    """Run a script and return the JSON that it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_metric_is_one_function_and_one_line(tmp_path: Path) -> None:
    found = run(USE_METRIC, tmp_path)
    values = {}
    for method, (value, per_class) in found["values"].items():
        assert value == pytest.approx(np.prod(per_class) ** (1 / 6))
        values[method] = value
    # Records
    assert found["of an old record"] is None
    assert "unknown fields ['geometric_meen']" in found["refused"]
    # Tables
    assert "geometric mean" in " ".join((tmp_path / "terminal.txt").read_text("utf-8").split())
    markdown = (tmp_path / "glyphs100_lt__glyph.md").read_text("utf-8").splitlines()
    (head,) = (line for line in markdown if line.startswith("| method"))
    column = head.split(" | ").index("geometric mean")
    (row,) = (line for line in markdown if line.startswith("| `sage`"))
    assert row.split(" | ")[column] == f"**{values['sage']:.1f}**"
    # The lowest ECE is the best: that of the method that is right more often.
    assert any(line.startswith("Top-1") and "Lower is better: ece." in line for line in markdown)
    errors = [
        next(line for line in markdown if line.startswith(f"| `{method}`")).split(" | ")
        for method in ("sage", "lift")
    ]
    sage, lift = (cells[head.split(" | ").index("ece")] for cells in errors)
    assert sage.startswith("**") and lift.startswith("<u>")
    assert float(sage.strip("*")) < float(lift.removeprefix("<u>").removesuffix("</u>"))
    assert "geometric mean" in (tmp_path / "glyphs100_lt__glyph.tex").read_text("utf-8")
    # CSV files
    with open(tmp_path / "glyphs100_lt__glyph.csv", encoding="utf-8") as stream:
        lines = [line for line in csv.DictReader(stream) if line["metric"] == "geometric_mean"]
    assert {line["variant"]: float(line["mean"]) for line in lines} == pytest.approx(values)
    with open(tmp_path / "records.csv", encoding="utf-8") as stream:
        each = {line["method"]: line["metrics.geometric_mean"] for line in csv.DictReader(stream)}
    assert {name: float(value) for name, value in each.items()} == pytest.approx(values)
    # The figure
    assert found["panels"] == ["overall", "many (2)", "medium (2)", "few (2)", "geometric mean"]
    # The comparison
    assert "| geometric mean | " in (tmp_path / "compare.md").read_text("utf-8")
    with open(tmp_path / "compare.csv", encoding="utf-8") as stream:
        (line,) = (row for row in csv.DictReader(stream) if row["metric"] == "geometric_mean")
    assert float(line["mean_a"]) == pytest.approx(values["sage"])
    assert float(line["mean_b"]) == pytest.approx(values["lift"])
    assert float(line["difference"]) == pytest.approx(values["sage"] - values["lift"])
    assert line["verdict"] == "A better"


FIGURE = '''
from matplotlib.figure import Figure

from reports.figures.drawing import Drawing
from reports.figures.registry import table_figure
from reports.table import Table


@table_figure("__new_figure")
def new_figure(table: Table, drawing: Drawing) -> Figure | None:
    """One point for each row."""
    figure = Figure()
    figure.add_subplot().plot([row.values["overall"].mean for row in table.rows], "o")
    return figure
'''
FORMAT = '''
from reports.knob_sweeps import KnobSweep
from reports.outputs import sweep_output, table_output
from reports.table import Table


@table_output(".txt")
def new_format(table: Table) -> str:
    """The labels."""
    return " ".join(row.label for row in table.rows)


@sweep_output(".txt")
def sweep_format(sweep: KnobSweep) -> str:
    """The knob."""
    return sweep.knob
'''
WRITE = """
import json
import sys
from pathlib import Path

import reports.figures
import reports.formats

reports.figures.__path__.append(str(Path(sys.argv[1]) / "figures"))
reports.formats.__path__.append(str(Path(sys.argv[1]) / "formats"))
from reports.figures.registry import SWEEP_FIGURES, TABLE_FIGURES
from reports.report import write_report
from tests.results.factory import make_record

for slow in [ending for ending in TABLE_FIGURES if ending != "__new_figure"]:
    del TABLE_FIGURES[slow]
SWEEP_FIGURES.clear()
records = [
    make_record("ncm", overall=40.0 + ratio, dataset=f"glyphs100_lt_ir{ratio}",
                dataset_config={"imbalance": ratio})
    for ratio in (10, 50)
]
print(json.dumps([file.name for file in write_report(records, Path(sys.argv[2]))]))
"""


def test_a_figure_and_a_format_are_one_file_each(tmp_path: Path) -> None:
    for folder, text in (("figures", FIGURE), ("formats", FORMAT)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    written = run(WRITE, tmp_path, out)
    assert len(set(written)) == len(written)
    assert set(written) == {file.name for file in out.iterdir()}
    for name in ("__new_figure.png", "__new_figure.pdf", ".txt", ".md"):
        assert f"glyphs100_lt_ir10__glyph{name}" in written
    assert (out / "glyphs100_lt_ir50__glyph.txt").read_text("utf-8") == "ncm"
    assert (out / "glyphs100_lt__imbalance__glyph.txt").read_text("utf-8") == "imbalance"
