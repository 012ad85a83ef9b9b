"""Hostile and clumsy plug-ins between methods of the suite, whose numbers must not change.

The plug-ins are in `hostile/*.yaml`, by name: `module`, `fit`, `logits` and `body` are lines of
Python that `hostile/plugin.py.txt` frames. `expect` says what becomes of the plug-in's cell:

* done, failed, not applicable: this; any: done or failed (the default);
* refused: the plug-in cannot be imported, and the command says so with status 2;
* loses: it deletes or damages records, so records may be missing if the status says so;
* spies: it searches for the test labels, and must not find more than chance.

Several plug-ins share a sweep. If it is not clear which of them has a fault, halves are tried.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from benchmarks.errors import UserError
from benchmarks.tools.torture import sweeps
from benchmarks.tools.torture.campaign import Order, Tally, for_each
from benchmarks.tools.torture.sweeps import Cell, Place, Run

FOLDER = Path(__file__).parent / "hostile"
TOGETHER = 12
"""Plug-ins in one sweep."""
BEFORE, AFTER = ("linear_probe",), ("tip_adapter", "ncm", "coop", "lift")
"""Methods of the suite around the plug-ins: frozen features, texts and images."""
SMALL = ("--seeds", "0", "--set", "lift.epochs=1", "--set", "coop.epochs=1")
TIMEOUT_S = 20
REASON = 2_100
"""Most characters of a reason or a note: 2 kB and the name of a log."""
OUTCOMES = {
    "done": {"done"}, "failed": {"failed"}, "any": {"done", "failed"}, "spies": {"done", "failed"},
    "not applicable": {"not_applicable"},
}  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """One plug-in of the table."""

    name: str
    module: str = ""
    fit: str = ""
    logits: str = ""
    body: str = ""
    expect: str = "any"
    timeout: bool = False
    """Never ends by itself."""

    @property
    def alone(self) -> bool:
        """True if other plug-ins cannot be judged in its sweep."""
        return self.expect not in OUTCOMES

    def source(self) -> str:
        """Source of the plug-in's file."""
        spies = self.expect == "spies"
        parts = {
            "name": self.name,
            "module": (_spyglass() if spies else "") + self.module,
            "fit": textwrap.indent(self.fit or "pass", " " * 8),
            "logits": textwrap.indent(self.logits or "pass", " " * 12),
            "body": textwrap.indent(self.body, " " * 4),
            "answer": "answer(batch)" if spies else "torch.zeros(len(batch), C)",
        }
        source = (FOLDER / "plugin.py.txt").read_text(encoding="utf-8")
        for name, text in parts.items():
            source = source.replace(f"{{{name}}}", text)
        return source


@cache
def hostile() -> dict[str, Hostile]:
    """The table of plug-ins by name."""
    found: dict[str, Hostile] = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        for name, fields in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            if name in found:
                raise UserError(f"{file}: {name} is there twice.")
            found[name] = Hostile(name, **fields)
    return found


COUNT = len(hostile())


def campaign(order: Order) -> Tally:
    """Run `order.count` plug-ins of the table, drawn by the seed."""
    table = hostile()
    if order.only and order.only not in table:
        raise UserError(f"No plug-in {order.only} in {FOLDER}.")
    drawn = order.random("plugins").sample(sorted(table), min(order.count, len(table)))
    chosen = [table[name] for name in ([order.only] if order.only else drawn)]
    tally = Tally()
    undisturbed = _Sweep(order.folder / "undisturbed", ())
    run = undisturbed.run()
    if run.status:
        raise UserError(f"The sweep without a plug-in fails: {run.output[-500:]}")
    bare = Bare(sweeps.cells(undisturbed.place.out), sweeps.table(run.output))

    def one(group: Sequence[Hostile]) -> None:
        _narrowed(order.folder, group, bare, tally, count=True)

    for_each(_groups(chosen), one, tally, order.jobs, _names)
    return tally


def _names(group: Sequence[Hostile]) -> str:
    return ", ".join(plugin.name for plugin in group)


def _groups(chosen: Sequence[Hostile]) -> list[list[Hostile]]:
    """Plug-ins that share a sweep: those that end, those that do not, and some alone."""
    groups = [[plugin] for plugin in chosen if plugin.alone]
    for timeout in (False, True):
        same = [p for p in chosen if not p.alone and p.timeout == timeout]
        groups += [same[i : i + TOGETHER] for i in range(0, len(same), TOGETHER)]
    return groups


@dataclass(frozen=True)
class Bare:
    """The sweep without a plug-in."""

    cells: Mapping[str, Cell]
    table: Sequence[str]


@dataclass(frozen=True)
class _Sweep:
    """A sweep with plug-ins in the middle."""

    folder: Path
    plugins: Sequence[Hostile]

    @property
    def place(self) -> Place:
        return Place(self.folder)

    def run(self) -> Run:
        """Run it, with a relative output folder as most users give."""
        self.folder.mkdir(parents=True, exist_ok=True)
        words = []
        for plugin in self.plugins:
            file = self.folder / f"{plugin.name}.py"
            file.write_text(plugin.source(), encoding="utf-8")
            words += ["--plugin", str(file)]
        if any(plugin.timeout for plugin in self.plugins):
            words += ["--cell-timeout", str(TIMEOUT_S)]
        methods = [*BEFORE, *(plugin.name for plugin in self.plugins), *AFTER]
        arguments = self.place.sweep(methods, *SMALL, *words)
        arguments[arguments.index("--out") + 1] = "out"
        known = {"TORTURE_OUT": str(self.place.out), "TORTURE_CACHE": str(self.place.cache)}
        process = self.place.start(arguments, known, shielded=True)
        run = self.place.ended(process)
        self.place.end(process.pid)  # what a plug-in left running is its own affair
        return run


@dataclass(frozen=True)
class Fault:
    """Something wrong, and the plug-in that has it; empty if any of a sweep may be the cause."""

    plugin: str
    text: str


def _narrowed(
    folder: Path, group: Sequence[Hostile], bare: Bare, tally: Tally, *, count: bool
) -> bool:
    """Try plug-ins in one sweep; True if there are faults.

    If it is not clear which plug-in has them, halves of the group are tried.
    """
    name = group[0].name if len(group) == 1 else f"{len(group)}-from-{group[0].name}"
    faults = _tried(folder / name, group, bare, tally if count else None)
    for fault in faults:
        if fault.plugin:
            tally.fault(fault.plugin, fault.text)
    common = "; ".join(fault.text for fault in faults if not fault.plugin)
    if not common:
        return bool(faults)
    if len(group) == 1:
        tally.fault(group[0].name, common)
        return True
    middle = len(group) // 2
    halves = (group[:middle], group[middle:])
    if not any([_narrowed(folder, half, bare, tally, count=False) for half in halves]):
        tally.fault(_names(group), common)
    return True


def _tried(folder: Path, group: Sequence[Hostile], bare: Bare, tally: Tally | None) -> list[Fault]:
    """Run plug-ins in one sweep and return the faults; the folder is kept if there are any."""
    sweep = _Sweep(folder, group)
    run = sweep.run()
    faults = [*(Fault("", text) for text in run.faults()), *_judged(sweep, run, bare, tally)]
    if not faults:
        _remove(folder)
    return faults


def _judged(sweep: _Sweep, run: Run, bare: Bare, tally: Tally | None) -> list[Fault]:
    first = sweep.plugins[0]
    if first.expect == "refused":
        if run.status == 2 and run.says(first.name):
            _count(tally, "refused: cannot be imported")
            return []
        return [Fault(first.name, f"status {run.status}, but it cannot be imported")]
    try:
        cells = sweeps.cells(sweep.place.out)
    except ValueError as error:
        if first.expect == "loses" and run.status in (1, 2):
            _count(tally, "records lost, and said")
            return []
        return [Fault("", f"a record cannot be read: {error}")]
    wrong = []
    for key, expected in bare.cells.items():
        found = cells.pop(key, None)
        if found is None:
            wrong.append(f"no record of {expected.method}, status {run.status}")
        elif change := found.differs_from(expected):
            wrong.append(f"{expected.method} has another {change}, status {run.status}")
    if first.expect == "loses":
        if run.status in (1, 2):  # said
            wrong = []
        _count(tally, "records lost, and said" if run.status else "tried to lose records, in vain")
        if run.status not in (0, 1, 2):
            wrong.append(f"status {run.status}")
        return [Fault("", text) for text in wrong]
    faults = [Fault("", text) for text in wrong]
    own = {cell.method: cell for cell in cells.values()}
    for plugin in sweep.plugins:
        cell = own.pop(plugin.name, None)
        if cell is None:  # an earlier plug-in may have ended the sweep
            faults.append(Fault("", f"no record of {plugin.name}"))
        else:
            faults += [Fault(plugin.name, text) for text in _own(plugin, cell, tally)]
    if own:
        faults.append(Fault("", f"records of {', '.join(own)}, which nobody asked for"))
    failed = any(cell.status == "failed" for cell in cells.values())
    if run.status != failed:
        some = "some cells" if failed else "no cell"
        faults.append(Fault("", f"status {run.status}, {some} failed"))
    return faults + [Fault("", text) for text in _rows(run, bare)]


def _own(plugin: Hostile, cell: Cell, tally: Tally | None) -> list[str]:
    """Faults of a plug-in's own cell."""
    faults = []
    if cell.status not in OUTCOMES[plugin.expect]:
        faults.append(f"{cell.status} ({plugin.expect} expected): {cell.error}")
    if cell.status != "done" and not cell.error:
        faults.append(f"{cell.status} without a reason")
    if len(cell.error or "") > REASON:
        faults.append(f"a reason of {len(cell.error or ''):,} characters")
    notes = [n for field in ("notes", "details") for n in cell.record.get(field) or ()]
    if sum(map(len, notes)) > 2 * REASON:
        faults.append(f"notes of {sum(map(len, notes)):,} characters")
    if plugin.expect == "spies" and cell.status == "done":
        n = sweeps.GLYPHS["classes"] * sweeps.GLYPHS["test_per_class"]
        bound = sweeps.CHANCE + 5 * (sweeps.CHANCE * (100 - sweeps.CHANCE) / n) ** 0.5
        accuracy = cell.record["metrics"]["overall"]
        if accuracy > bound:
            faults.append(f"reads the test labels: {accuracy:.1f} %")
    _count(tally, {"done": "cell done", "failed": "cell failed with a reason"}.get(
        cell.status, cell.status))  # fmt: skip
    return faults


def _rows(run: Run, bare: Bare) -> list[str]:
    """Faults of the printed table."""
    rows = {line.split()[0]: line.split() for line in sweeps.table(run.output)}
    if not rows:
        return ["no table is printed"]
    changed = [
        line.split()[0] for line in bare.table
        if line.split()[0] in (*BEFORE, *AFTER) and rows.get(line.split()[0]) != line.split()
    ]  # fmt: skip
    return [f"the table shows other numbers of {', '.join(changed)}"] if changed else []


def _count(tally: Tally | None, outcome: str) -> None:
    if tally is not None:
        tally.add(outcome)


def _remove(folder: Path) -> None:
    """Remove a case's folder, with the folders in it that a plug-in made read-only."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)


@cache
def _spyglass() -> str:
    text = (FOLDER / "spyglass.py.txt").read_text(encoding="utf-8")
    classes, each = sweeps.GLYPHS["classes"], sweeps.GLYPHS["test_per_class"]
    return text.replace("{classes}", str(classes)).replace("{each}", str(each)) + "\n\n"
