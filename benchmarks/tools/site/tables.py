"""The tables of methods and data sets in README.md.

python -m benchmarks.tools.site.tables            # prints them
python -m benchmarks.tools.site.tables --write    # replaces them in the README
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.datasets.registry import DATASETS
from benchmarks.plugins.entries import Entry
from benchmarks.tools.site.cards import escaped
from methods.registry import METHODS, info_of

PAGE = Path(__file__).resolve().parents[3] / "README.md"
_LABELS = {"single": "S", "multi": "M"}


def method_table() -> str:
    """Methods with what they need, the labels that they support and their papers."""
    rows = []
    for name, entry in sorted(METHODS.entries().items()):
        info = info_of(name)
        rows.append(
            (f"`{name}`", escaped(entry.summary), info.needs, _labels(info.tasks), info.paper)
        )
    return _table(("method", "", "on", "labels", "paper"), rows)


def dataset_table() -> str:
    """Data sets with their labels."""
    entries: Mapping[str, Entry] = DATASETS.entries()
    rows = [
        (f"`{name}`", escaped(entry.summary), _labels([str(entry.options["task"])]))
        for name, entry in sorted(entries.items())
    ]
    rows.append(("`FILE.yaml`", "your own images ([docs/own_data.md](docs/own_data.md))", "S M"))
    return _table(("data set", "", "labels"), rows)


TABLES = {"methods": method_table, "data sets": dataset_table}
"""Tables by the word in the comments around them."""


def with_tables(page: str) -> str:
    """The text of the page with the present tables between the comments around them."""
    for what, table in TABLES.items():
        before, start, rest = page.partition(f"<!-- {what} -->\n")
        _, end, after = rest.partition(f"<!-- end of {what} -->\n")
        page = f"{before}{start}{table()}{end}{after}"
    return page


def _labels(tasks: Sequence[str]) -> str:
    return " ".join(_LABELS[task] for task in tasks)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: Iterator[Sequence[str]] = iter([head, ["---"] * len(head), *rows])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8")), encoding="utf-8")
    else:
        sys.stdout.write("\n".join(table() for table in TABLES.values()))
