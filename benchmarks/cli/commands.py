"""The verbs of the command line; each returns the exit status."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.cli.gathering import records_in, say
from benchmarks.cli.reading import DEFAULT_REPORT, compare_with, say_where
from benchmarks.errors import DataError, UserError, counted, did_you_mean
from benchmarks.plugins.catalog import first_line
from benchmarks.plugins.fields import Fields, fields_of
from benchmarks.plugins.static_reader import read_docs
from benchmarks.plugins.values import choices
from benchmarks.sweep.settings import Sweep, shard_of

if TYPE_CHECKING:
    from benchmarks.run.data_sets import DataSets
    from benchmarks.run.display import Display
    from benchmarks.sweep.baselines import Baselines
    from benchmarks.sweep.cell import Cell
    from benchmarks.sweep.estimate import Estimator
    from benchmarks.sweep.plan import Planned
    from methods.space import Distribution
    from results.schema import Record


def run(sweep: Sweep, console: Console, *, allow_mixed: bool, debug: bool) -> int:
    """Run what is not done yet, then print the table and write the report."""
    from benchmarks.cli.plan_table import outlook
    from benchmarks.sweep import plan
    from results.store import Store

    store = Store(sweep.out)
    if sweep.backbone.startswith("hf-hub:"):
        from benchmarks import backbones

        backbones.fetch(sweep.backbone, offline=sweep.offline)
    expansion = plan.expand(sweep, partial(say, console))
    cells = expansion.cells
    if not cells:
        return _empty_part(sweep, console)
    if sweep.data_root != Sweep().data_root and not sweep.data_root.is_dir():
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    store.check_writable()
    records = records_in(store, console)
    planned = plan.look_up(cells, records, repeatable=not sweep.no_deterministic)
    todo = [p.cell for p in planned if p.to_run(sweep.rerun, sweep.accept_stale)]
    if todo:
        estimated = outlook(todo, _estimator(records, sweep))
        _say_what_changed(planned, records, sweep, console)
        console.print(f"{counted(len(planned), 'cell')}, {estimated}.")
    if todo or sweep.save_model or sweep.check_data:  # else nothing that needs torch
        made = _run_cells(planned, todo, sweep, console, debug)
        if made is None:
            return 130
        planned = plan.look_up(cells, [*records, *made], repeatable=not sweep.no_deterministic)
    return _report_cells(planned, expansion.baselines, sweep, console, allow_mixed)


def _say_what_changed(
    planned: Sequence[Planned], records: Sequence[Record], sweep: Sweep, console: Console
) -> None:
    """A line for each data set whose files are others than those of records in the folder."""
    from benchmarks.sweep import plan

    for dataset, count in plan.of_other_data(planned, records).items():
        made = f"{counted(count, 'record')} in {sweep.out} made before its files changed"
        say(console, f"note: {dataset}: {made}; not used")


def _run_cells(
    planned: Sequence[Planned], todo: Sequence[Cell], sweep: Sweep, console: Console, debug: bool
) -> list[Record] | None:
    """Run cells of a plan and return their records; None after an interruption."""
    from benchmarks.cli.console import ProgressDisplay
    from benchmarks.run import runner
    from benchmarks.run.data_sets import DataSets
    from benchmarks.run.model_files import model_file
    from benchmarks.run.options import RunOptions
    from methods.registry import METHODS

    for name in dict.fromkeys(cell.method for cell in todo):
        METHODS.get(name)  # what does not import is told before anything slow
    if sweep.save_model:
        running = {cell.key for cell in todo}
        kept = [p.cell for p in planned if p.state == "done" and p.cell.key not in running]
        bare = sum(not model_file(sweep.out, cell.key).is_file() for cell in kept)
        if bare:
            say(
                console,
                f"{counted(bare, 'finished cell')} without a saved model: --rerun always computes "
                "all cells of the command again, and keeps their models.",
            )
    options = RunOptions.of(sweep, debug=debug)
    display = ProgressDisplay(console, len(todo), len(planned) - len(todo))
    data_sets = DataSets(options, display)
    if sweep.check_data:
        with display:
            _check_data([p.cell for p in planned], data_sets, sweep.out, display, console)
    try:
        with display:
            data_sets.load_all(todo)
            return runner.run(todo, options, display, data_sets)
    except KeyboardInterrupt:
        console.print(
            f"\nInterrupted: {display.done} of {counted(len(planned), 'cell')} "
            f"{'is' if len(planned) == 1 else 'are'} done and kept in {sweep.out}. "
            + (
                "The same command begins again: without --rerun always it keeps them."
                if sweep.rerun == "always"
                else "The same command goes on from here."
            ),
            markup=False,
        )
        return None


def _check_data(
    cells: Sequence[Cell], data_sets: DataSets, out: Path, display: Display, console: Console
) -> None:
    """Read every image of the cells' data sets and say what is wrong with any of them.

    Raises:
        DataError: some images are damaged; all data sets were looked at.
    """
    from benchmarks.datasets import checking

    problems = []
    for cell in {(cell.dataset, cell.split_seed): cell for cell in cells}.values():
        data = data_sets.get(cell)
        said = partial(display.preparing, f"reading {cell.dataset}")
        found = checking.examine(data, said, validation=cell.select == "val")
        # Another seed may draw other images, and has a file of its own.
        name = f"{cell.dataset}, split seed {cell.split_seed}" if cell.split_seed else cell.dataset
        try:
            line = checking.report(name, found, out / "data_check")
            console.print(line, markup=False, soft_wrap=True)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(" And: ".join(problems))


def _empty_part(sweep: Sweep, console: Console) -> int:
    """Say that a small sweep has no cells for so many parts: whoever started them all is done."""
    part, parts = shard_of(sweep.shard)
    console.print(f"Part {part + 1} of {parts} holds no cells.")
    return 0


def _report_cells(
    planned: Sequence[Planned],
    baselines: Baselines,
    sweep: Sweep,
    console: Console,
    allow_mixed: bool,
) -> int:
    from reports.report import write_report

    records = [p.record for p in planned if p.record is not None]
    stale = {p.record.key for p in planned if p.state == "stale" and p.record is not None}
    failed = [p for p in planned if p.state == "failed"]
    folder = DEFAULT_REPORT if sweep.out == Sweep().out else sweep.out / "report"
    console.print()
    files = write_report(records, folder, stale=stale, allow_mixed=allow_mixed, console=console)
    if sweep.compare:
        files += compare_with(baselines, records, stale, sweep.out, console, folder)
    say_where(console, files, sweep.out)
    if sweep.shard:
        say(
            console,
            f"These are the cells of part {sweep.shard} alone; once all parts are done, "
            f"run_benchmarks.py report {sweep.out} has them in one table.",
        )
    if failed:
        console.print(
            f"{len(failed)} of {counted(len(planned), 'cell')} failed; --rerun failed runs "
            f"{'it' if len(failed) == 1 else 'them'} again.",
            style="red",
        )
    return 1 if failed else 0


def plan_only(sweep: Sweep, console: Console) -> int:
    """Print the cells, what is known of each and an estimate of time."""
    from benchmarks.cli.plan_table import outlook, print_plan
    from benchmarks.sweep import plan
    from results.store import Store

    cells = plan.expand(sweep, partial(say, console)).cells
    if not cells:
        return _empty_part(sweep, console)
    records = records_in(Store(sweep.out), console)
    planned = plan.look_up(cells, records, repeatable=not sweep.no_deterministic)
    todo = [p.cell for p in planned if p.to_run(sweep.rerun, sweep.accept_stale)]
    estimator = _estimator(records, sweep)
    print_plan(planned, todo, estimator, console)
    families = dict.fromkeys((p.cell.dataset, p.cell.family) for p in planned)
    for dataset, family in families:
        missing = family.absent(sweep.data_root)
        if missing:
            say(console, f"note: {dataset}: {missing} (`show {family.name}` says what goes where)")
        for note in family.notes():
            say(console, f"note: {dataset}: {note}")
    _say_what_changed(planned, records, sweep, console)
    console.print(f"\n{counted(len(planned), 'cell')}, {outlook(todo, estimator)}.")
    return 0


def _estimator(records: Sequence[Record], sweep: Sweep) -> Estimator:
    from benchmarks.inputs.feature_index import FeatureIndex, user_folder
    from benchmarks.sweep.estimate import Estimator

    return Estimator(records, sweep.device, FeatureIndex(user_folder()))


def list_all(what: str | None, console: Console) -> int:
    """Print what there is, without importing any of it."""
    if what in (None, "methods"):
        from methods.registry import METHODS

        table = Table(
            "method", "needs", "tasks", "", title="Methods", title_justify="left", box=None
        )
        for name, entry in sorted(METHODS.entries().items()):
            tasks = ", ".join(entry.options.get("tasks", ("single",)))
            needs = str(entry.options.get("needs", ""))
            table.add_row(name, needs, tasks, escape(entry.summary))
        console.print(table, "")
    if what in (None, "datasets"):
        from benchmarks.datasets.registry import DATASETS

        table = Table(
            "data set",
            "task",
            "",
            title="Data sets (NAME_irR: imbalance ratio R)",
            title_justify="left",
            box=None,
        )
        for name, entry in sorted(DATASETS.entries().items()):
            table.add_row(name, str(entry.options.get("task", "")), escape(entry.summary))
        table.add_row("FILE.yaml", "single, multi", "your own (docs/own_data.md)")
        console.print(table, "")
    if what in (None, "backbones"):
        table = Table("backbone", "", title="Backbones", title_justify="left", box=None)
        table.add_row("glyph", "the embedded one, for the embedded world")
        table.add_row("ViT-B-16-quickgelu/openai", "the default: any open_clip ARCH/TAG")
        table.add_row("ARCH/FILE", "the same with a checkpoint file, OpenAI's own .pt too")
        table.add_row("ARCH/random", "seeded random weights, for speed and plumbing")
        table.add_row("hf-hub:ORG/MODEL", "an open_clip model on the Hugging Face hub")
        table.add_row("local-dir:PATH", "a folder with open_clip_config.json and weights")
        console.print(table)
    return 0


def show(name: str, console: Console, data_root: Path, plugins: Sequence[Path]) -> int:
    """Print the card of a method or a data set."""
    from benchmarks.datasets import registry as datasets
    from methods.registry import METHODS, fingerprint, info_of

    for file in plugins:
        METHODS.load_file(file)
    if name in METHODS.entries():
        info, entry = info_of(name), METHODS.entries()[name]
        space: Mapping[str, Distribution] = METHODS.attribute(name, "space")
        console.print(f"[bold]{name}[/bold]  {escape(entry.summary)}")
        facts = {
            "paper": info.paper,
            "needs": info.needs,
            "tasks": ", ".join(info.tasks),
            "random": "no: one run stands for every seed" if info.deterministic else "yes",
            "reconstruction": info.reconstruction,
            "tunable": ", ".join(f"{field} {reach}" for field, reach in space.items()),
            "exempt": "; ".join(f"{check} ({why})" for check, why in info.exempt.items()),
            "source": f"{entry.file} (fingerprint {fingerprint(name)})",
        }
        _print_facts(console, {k: v for k, v in facts.items() if v})
        fields = METHODS.fields(name)
        docs = read_docs(entry.file, entry.class_name)
        _print_fields(console, name, fields, {n: f.default for n, f in fields.items()}, docs)
        return 0
    try:
        family, given = datasets.resolve(name)
    except UserError:
        known = datasets.DATASETS.entries()
        if datasets.is_own(name) or any(name == k or name.startswith(f"{k}_ir") for k in known):
            raise
        raise did_you_mean(
            "method or data set", name, [*METHODS.entries(), *datasets.DATASETS.entries()]
        ) from None
    configured = family(**given).resolve(data_root)
    console.print(
        f"[bold]{family.name if datasets.is_own(name) else name}[/bold]  "
        f"{escape(first_line(family.__doc__))}",
        highlight=False,
    )
    _print_facts(console, configured.card())
    docs = {}
    for cls in reversed([cls for cls in family.mro() if dataclasses.is_dataclass(cls)]):
        docs |= read_docs(Path(inspect.getfile(cls)), cls.__name__)
    fields = fields_of(type(configured))
    values = {field: getattr(configured, field) for field in fields}
    _print_fields(console, family.name, fields, values, docs)
    return 0


def download(names: Sequence[str], console: Console, data_root: Path) -> int:
    """Fetch data sets and backbones."""
    from benchmarks.datasets import registry as datasets

    for name in names:
        try:
            family, fields = datasets.resolve(name)
        except UserError:
            if "/" not in name and ":" not in name and name != "glyph":
                raise
            from benchmarks import backbones

            console.print(backbones.download(name), markup=False, soft_wrap=True)
        else:
            console.print(family(**fields).download(data_root), markup=False, soft_wrap=True)
    return 0


def _print_fields(
    console: Console,
    owner: str,
    fields: Fields,
    values: Mapping[str, Any],
    docs: Mapping[str, str],
) -> None:
    """The fields of a method or data set: their values, choices and the strings under them."""
    title = f"Fields (--set {owner}.FIELD=VALUE)"
    table = Table("field", "default", "", title=title, title_justify="left", box=None)
    for name, field in fields.items():
        lines = [" | ".join(choices(field.hint)), docs.get(name, "")]
        table.add_row(name, escape(str(values[name])), escape("\n".join(filter(None, lines))))
    console.print("", table)


def _print_facts(console: Console, facts: dict[str, str]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, escape(value))
    console.print(table)
