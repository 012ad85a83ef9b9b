"""The verbs that read records and run nothing: `report` and `compare`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.cli.gathering import data_sets, gather, of_sweep, say
from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.settings import read_sweep, split_labels

if TYPE_CHECKING:
    from benchmarks.sweep.baselines import Baselines
    from reports.table import Table
    from results.schema import Record

DEFAULT_REPORT = Path("reports/out")


@dataclass(frozen=True)
class Choice:
    """Which of the records in the folders a report is about."""

    config: Path | None = None
    """A sweep: its cells alone."""
    methods: str | None = None
    """Methods; None for all."""
    datasets: str | None = None
    """Data sets, as tables call them; None for all."""


def report(
    folders: Sequence[Path],
    console: Console,
    out: Path | None,
    plugins: Sequence[Path],
    choice: Choice,
    *,
    allow_mixed: bool,
) -> int:
    """Tables and plots of the records under `folders`.

    Raises:
        UserError: unknown names, nothing to report, or records that do not belong in one table.
    """
    from benchmarks.sweep.plan import expand
    from reports.report import write_report

    found = gather(folders, plugins, console)
    records = found.records
    if choice.config is not None:
        records = of_sweep(records, expand(read_sweep(choice.config, {})), choice.config)
    if choice.methods is not None:
        known = {record.method for record in records}
        wanted = set(split_labels(choice.methods))
        for name in sorted(wanted - known):
            raise did_you_mean("method of these records", name, known)
        records = [record for record in records if record.method in wanted]
    if choice.datasets is not None:
        names = data_sets(choice.datasets, {record.dataset for record in records})
        records = [record for record in records if record.dataset in names]
    files = write_report(
        records, out or DEFAULT_REPORT, stale=found.stale, allow_mixed=allow_mixed, console=console
    )
    say_where(console, files, None)
    return 0


@dataclass(frozen=True)
class Request:
    """What `compare` is asked for, as typed."""

    a: str | None = None
    b: str | None = None
    """One variant, and one or several that it is compared with."""
    against: str | None = None
    """Variants that every other row is compared with."""
    datasets: str | None = None
    """The data sets to look at, as tables call them; None for all."""
    config: Path | None = None
    """A sweep: its cells alone are looked at, and its `compare` is what `against` is by default."""
    out: Path | None = None
    """A file ending in .md or .csv."""


def compare(
    folders: Sequence[Path], console: Console, request: Request, plugins: Sequence[Path]
) -> int:
    """Paired differences between variants, on each data set and backbone that both were run on.

    Raises:
        UserError: unknown or ambiguous variants, nothing in common, records that do not belong in
            one table, or predictions that are missing.
    """
    from benchmarks.cli.pairing import Search, all_against, pairs
    from reports.compare.comparison import Comparer
    from reports.compare.tables import (
        against_markdown,
        comparisons_csv,
        pair_markdown,
        print_against,
        print_pair,
    )

    if request.out is not None and request.out.suffix not in (".md", ".csv"):
        raise UserError(f"--out {request.out}: write a file that ends in .md or .csv.")
    baselines = split_labels(request.against or "")
    others = split_labels(request.b or "")
    found = gather(folders, plugins, console)
    records = found.records
    cells: Baselines = {}
    if request.config is not None:
        from benchmarks.sweep.plan import expand

        sweep = read_sweep(request.config, {})
        expansion = expand(sweep)
        records = of_sweep(records, expansion, request.config)
        if not (request.a or request.b):
            baselines = baselines or sweep.compare
        typed = [label for label in (*baselines, request.a, *others) if label]
        cells = expansion.named(typed)
    if bool(request.a) != bool(others) or bool(request.a) == bool(baselines):
        raise UserError(
            "Name two variants with --a and --b, or with --against what all others are compared "
            "with; `report` shows how variants are labelled."
        )
    named = [] if baselines else [request.a or "", *others]
    tables = _tables(records, found.stale, request.datasets, named)
    search = Search(cells, console)
    comparer = Comparer(found.read)
    if request.a:
        everything = pairs(tables, request.a, others, comparer, search)
        for pair in everything:
            print_pair(pair, console)
        text = "\n".join(map(pair_markdown, everything))
    else:
        groups = all_against(tables, baselines, comparer, search)
        for group in groups:
            print_against(group, console)
        text = "\n".join(map(against_markdown, groups))
        everything = [comparison for group in groups for comparison in group]
    if request.out is not None:
        _write(request.out, text if request.out.suffix == ".md" else comparisons_csv(everything))
        console.print(f"Written: {request.out}", markup=False, soft_wrap=True)
    return 0


def compare_with(
    baselines: Baselines,
    records: Sequence[Record],
    stale: Collection[str],
    out: Path,
    console: Console,
    folder: Path,
) -> list[Path]:
    """Print and write, after a run, what every row of each table is against the baselines.

    What cannot be compared is said in a line: the run itself is done.

    Args:
        baselines: the cells of each variant, by label.
        records: cells of any status, of which the tables were made.
        stale: keys of records made with another version of the method's source.
        out: where the run wrote its records.
        console: where to print.
        folder: the report's folder, which gets `DATASET__BACKBONE__compare.{md,csv}`.

    Returns:
        The files written.
    """
    from benchmarks.cli.pairing import Search, all_against
    from reports.aggregate import build_tables
    from reports.compare.comparison import NEEDED, Comparer
    from reports.compare.tables import against_markdown, comparisons_csv, print_against
    from reports.report import file_stems
    from results.store import Store

    store = Store(out)
    comparer = Comparer(lambda record: store.predictions(record.key, NEEDED))
    search = Search(baselines, console)
    tables = build_tables(records, stale=stale, allow_mixed=True)
    files = []
    for table, stem in zip(tables, file_stems(tables), strict=True):
        groups = []
        for wanted in baselines:
            try:
                groups += all_against([table], [wanted], comparer, search)
            except UserError as error:
                say(console, f"Not compared: {error}")
        if not groups:
            continue
        for group in groups:
            print_against(group, console)
        every = [comparison for group in groups for comparison in group]
        text = "\n".join(map(against_markdown, groups))
        files += [
            _write(folder / f"{stem}__compare.md", text),
            _write(folder / f"{stem}__compare.csv", comparisons_csv(every)),
        ]
    return files


def say_where(console: Console, files: Sequence[Path], out: Path | None) -> None:
    """Print the files of a report and, if given, the folder of the records."""
    if not files:
        return
    console.print(f"\nTables and plots: {files[0].parent}/", markup=False, soft_wrap=True)
    for file in files:
        console.print(f"  {file.name}", style="dim", markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"Records: {out / 'records'}/", markup=False, soft_wrap=True)


def _tables(
    records: Sequence[Record], stale: Collection[str], datasets: str | None, named: Sequence[str]
) -> list[Table]:
    """The tables of the data sets asked for.

    Args:
        records: cells of any status.
        stale: keys of records made with another version of the method's source.
        datasets: names, with or without what they say of knobs, as typed; None for all.
        named: variants that are to be compared; empty for all.

    Raises:
        UserError: an unknown data set, or records that do not belong in one table.
    """
    from benchmarks.sweep.rows.comparability import refuse_mixture
    from benchmarks.sweep.rows.labels import method_of
    from reports.aggregate import build_tables

    if datasets is not None:
        wanted = data_sets(datasets, {record.dataset for record in records})
        records = [record for record in records if record.dataset in wanted]
    methods = {method_of(label) for label in named}
    for where in sorted({(r.dataset, r.backbone) for r in records}):
        members = [r for r in records if (r.dataset, r.backbone) == where]
        if named:  # what other methods were run with is no matter
            members = [r for r in members if r.method in methods]
        refuse_mixture(members, "Give a folder that holds the one or the other.")
    return build_tables(records, stale=stale, allow_mixed=True)


def _write(file: Path, text: str) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error
    return file
