"""The verb `compare`: paired differences between variants, from records."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import (
    DATASETS_OF_RECORDS,
    NAMES,
    RECORD_FOLDERS,
    SWEEP_OF_RECORDS,
    add_figure_flags,
    add_json,
    add_latex_width,
    add_plugin,
    add_test_prior,
)
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.sweep.baselines import Baselines

HELP = "compare variants: paired differences with intervals"
EXAMPLES = {"compare results/runs --a sage --b lift": "more than noise?"}


_FIGURES = (".png", ".pdf", ".svg", ".pgf")
"""Endings of a figure of the differences by class."""
_ENDINGS = (".md", ".tex", ".csv", *_FIGURES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take folders of records and the labels of variants."""
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="DIR", help=RECORD_FOLDERS)
    add("--a", metavar="VARIANT", help="a variant, as the tables label it, or a method's name")
    add("--b", metavar="VARIANT[,V2]", help="variants to compare it with")
    add(
        "--against",
        metavar="VARIANT[,V2]",
        help="compare every other variant with these, in place of --a and --b",
    )
    add(
        "--margin",
        metavar="POINTS",
        help="also test whether differences are smaller than this (default: the sweep's margin)",
    )
    add(
        "--power",
        metavar="POINTS",
        help="also say how many seeds are needed to show this difference",
    )
    add(
        "--robust",
        action="store_true",
        help="compare typical runs by trimmed means, which a run that collapses does not move",
    )
    add("--datasets", metavar="D[,D2]", help=DATASETS_OF_RECORDS)
    add("--config", type=Path, metavar="FILE", help=SWEEP_OF_RECORDS)
    add("--out", type=Path, metavar="FILE", help=f"also write a file: {', '.join(_ENDINGS)}")
    add_latex_width(parser)
    add("--columns", metavar="overall,few,…", help="metrics to print (default all)")
    add("--names", metavar="FILE", help=NAMES)
    add_test_prior(parser)
    add_figure_flags(parser, of_report=False)
    add_json(parser)
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Compare variants on each data set and backbone that both were run on.

    Raises:
        UserError: unknown or ambiguous variants, nothing in common, records that do not belong in
            one table, predictions that are missing, or a test distribution of multi-label data.
    """
    from benchmarks.cli.parts.comparisons import write_text
    from benchmarks.cli.parts.json_answer import print_json
    from benchmarks.cli.parts.messages import warn
    from benchmarks.cli.parts.records import load_records, records_of_sweep
    from benchmarks.file_names import safe
    from benchmarks.sweep.plan import expand
    from benchmarks.sweep.settings import Sweep, difference_in_points, read_sweep, split_labels
    from reports.compare.comparison import Comparer
    from reports.compare.families import Asked
    from reports.compare.files import against_markdown, comparisons_csv, pairs_markdown
    from reports.compare.lines import answer
    from reports.compare.request import Request, compared, refuse_other_columns, tables_of
    from reports.compare.rows import RowFinder
    from reports.compare.terminal import print_against, print_pairs
    from reports.figures.settings import figure_of
    from reports.folders import of_datasets
    from reports.latex.files import comparisons_text, report_name
    from reports.recast import under_priors
    from reports.settings import read_settings

    if options.out is not None and options.out.suffix not in _ENDINGS:
        raise UserError(f"--out {options.out}: name a file that ends in {', '.join(_ENDINGS)}.")
    figure = figure_of(options.out, options.figure_width, options.style)
    if options.robust and options.power is not None:
        raise UserError("--power counts the runs of plain means: leave out --robust.")
    baselines = split_labels(options.against or "")
    others = split_labels(options.b or "")
    loaded = load_records(options.folders, options.plugin, console)
    records = loaded.records
    margin, power = (
        None if value is None else difference_in_points(value, flag)
        for value, flag in ((options.margin, "--margin"), (options.power, "--power"))
    )
    cells: Baselines = {}
    sweep = Sweep() if options.config is None else read_sweep(options.config, {})
    settings = read_settings(vars(options), dict(sweep.report), options.config)
    if options.config is not None:
        expansion = expand(sweep)
        records = records_of_sweep(records, expansion, options.config)
        margin = sweep.margin if margin is None else margin
        if not (options.a or options.b):
            baselines = baselines or sweep.compare
        typed = [label for label in (*baselines, options.a, *others) if label]
        cells = expansion.named(typed)
    request = Request(options.a or "", others, baselines)
    if not request.usable:
        raise UserError(
            "Name two variants with --a and --b, or with --against the variants that all others "
            "are compared with; `report` prints their labels."
        )
    if options.datasets is not None:
        records = of_datasets(records, split_labels(options.datasets))
    cast = under_priors(records, loaded.stale, loaded.read, settings.priors)
    tables = tables_of(cast.records, cast.stale, request, settings.view)
    if options.columns is not None:
        refuse_other_columns(settings.view.columns, tables)
    finder = RowFinder(cells, partial(warn, console))
    comparer = Comparer(cast.read, robust=options.robust)
    families = compared(request, tables, comparer, finder, Asked(margin, power))
    if options.json:
        print_json(answer(families))
    else:
        show = print_pairs if request.a else print_against
        for family in families:
            show(family, console)
    if figure is not None:
        from reports.figures.class_difference import write_difference

        drawn = [judged.comparison for family in families for judged in family.members]
        write_difference(drawn, cast.read, options.out, figure)
        console.print(f"Written: {options.out}", markup=False, soft_wrap=True)
    elif options.out is not None:
        if options.out.suffix == ".csv":
            text = comparisons_csv(families)
        elif options.out.suffix == ".tex":
            stem, folder = safe(options.out.stem), report_name(options.out.absolute().parent)
            text = comparisons_text(families, stem, folder, settings.latex, pairs=bool(request.a))
        else:
            as_markdown = pairs_markdown if request.a else against_markdown
            text = "\n".join(map(as_markdown, families))
        write_text(options.out, text)
        console.print(f"Written: {options.out}", markup=False, soft_wrap=True)
    return 0
