"""The verb `report`: tables and figures of records that are there already."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import (
    DATASETS_OF_RECORDS,
    RECORD_FOLDERS,
    SWEEP_OF_RECORDS,
    add_allow_mixed,
    add_figure_flags,
    add_latex_width,
    add_named_groups,
    add_plugin,
    add_test_prior,
    add_view_flags,
)

if TYPE_CHECKING:
    from rich.console import Console

    from reports.compare.runs import Read
    from reports.settings import Settings
    from results.schema import Record

HELP = "write tables and figures of records"
EXAMPLES = {
    "report results/runs": "the tables of earlier runs",
    "report results/runs --html": "only the page",
    "report results/runs --per-class lift": "class by class",
    "report results/runs --test-prior forward50": "another test distribution",
}

DEFAULT_FOLDER = Path("reports/out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take folders of records and a choice of what is in them."""
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="DIR", help=RECORD_FOLDERS)
    add("--out", type=Path, metavar="DIR", help=f"folder to write to (default {DEFAULT_FOLDER})")
    add("--config", type=Path, metavar="FILE", help=SWEEP_OF_RECORDS)
    add("--methods", metavar="A,B", help="only these methods (default all)")
    add("--datasets", metavar="D[,D2]", help=DATASETS_OF_RECORDS)
    add(
        "--rope",
        metavar="POINTS",
        help="also print the probability that two variants differ by fewer points than this",
    )
    add_view_flags(parser)
    add_named_groups(parser)
    add_latex_width(parser)
    add_test_prior(parser)
    add(
        "--conformal",
        metavar="PERCENT",
        help="also print size and coverage of conformal sets for this coverage, such as 90",
    )
    add(
        "--per-class",
        metavar="ROW[,ROW2]",
        help="also print every class of these rows: precision, recall, F1, confusions",
    )
    add_figure_flags(parser)
    add(
        "--html",
        action="store_true",
        help="write only report.html, the page with everything in it, which is faster",
    )
    add_plugin(parser)
    add_allow_mixed(parser)


@dataclass(frozen=True)
class Chosen:
    """The records that a command line chooses, and the settings of their report."""

    records: list[Record]
    stale: set[str]
    read: Read
    settings: Settings


def choose(options: argparse.Namespace, console: Console) -> Chosen:
    """Read the records of a command line.

    Raises:
        UserError: unknown names or values, or no records are chosen.
    """
    from benchmarks.cli.parts.records import load_records, records_of_sweep
    from benchmarks.errors import UserError
    from benchmarks.sweep.plan import expand
    from benchmarks.sweep.settings import Sweep, read_sweep, split_labels
    from reports.folders import of_datasets, of_methods
    from reports.settings import read_settings

    sweep = Sweep() if options.config is None else read_sweep(options.config, {})
    settings = read_settings(vars(options), dict(sweep.report), options.config)
    if settings.view.sort == "asked" and options.config is None and options.methods is None:
        raise UserError("--sort asked: give --methods or --config, whose order it is.")
    loaded = load_records(options.folders, options.plugin, console)
    records = sorted(loaded.records, key=lambda record: record.dataset)
    if options.config is not None:
        records = records_of_sweep(records, expand(sweep), options.config)
    if options.methods is not None:
        records = of_methods(records, split_labels(options.methods))
    if options.datasets is not None:
        records = of_datasets(records, split_labels(options.datasets))
    return Chosen(records, loaded.stale, loaded.read, settings)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the tables of the records chosen and write the report.

    Raises:
        UserError: unknown names, nothing to report, or records that do not belong in one table.
    """
    from benchmarks.cli.parts.messages import print_report_files
    from benchmarks.sweep.settings import split_labels
    from reports.report import classes_of, write_classes, write_report

    chosen = choose(options, console)
    classes = {}
    if options.per_class is not None:  # before anything is written
        classes = classes_of(
            chosen.records,
            split_labels(options.per_class),
            read=chosen.read,
            settings=chosen.settings,
        )
    files = write_report(
        chosen.records,
        options.out or DEFAULT_FOLDER,
        stale=chosen.stale,
        allow_mixed=options.allow_mixed,
        read=chosen.read,
        console=console,
        settings=chosen.settings,
        page_alone=options.html,
    )
    files += write_classes(
        classes, options.out or DEFAULT_FOLDER, settings=chosen.settings, console=console
    )
    print_report_files(console, files, None)
    return 0
