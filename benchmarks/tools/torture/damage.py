"""Damage to every kind of file that the suite reads: refused, rebuilt, or without effect.

A case copies a scene (`scenes.py`), damages files of one kind, runs a command that reads them and
judges each damage. A number that changes under the same key without a word is a fault, as are a
refusal that does not name the file, a traceback and a wrong exit status.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.tools.torture import scenes, sweeps
from benchmarks.tools.torture.blows import strike
from benchmarks.tools.torture.campaign import Order, Tally, for_each
from benchmarks.tools.torture.scenes import Scene
from benchmarks.tools.torture.sweeps import Cell, Place, Run

COUNT = 2_000
CHECKPOINTED = ("crt", "lift", "coop")
"""Methods whose interrupted runs are continued."""
REFUSED, NOTED = "refused by path", "rebuilt or started over, with a note"
REBUILT, NO_EFFECT, OTHER_KEY = "rebuilt", "without effect on any number", "another input: new keys"
OTHER_FAILS = "another input: new keys, cells that fail with a reason"
PIXELS = "read as other pixels: a JPEG has no checksum"


@dataclass(frozen=True)
class Hit:
    """A damage."""

    file: Path
    before: bytes
    text: str


@dataclass(frozen=True)
class Verdict:
    """Outcome of a damage, or what is wrong."""

    outcome: str = ""
    fault: str = ""


Judge = Callable[[Scene, Place, Sequence[Hit]], list[Verdict]]
"""Runs commands on a damaged copy of a scene and returns a verdict on each hit."""


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    scene: str
    pattern: str
    judge: Judge
    together: int
    """Files damaged in one case; more than one if a damaged file does not hide the others."""
    share: int
    """Number of cases among those of all kinds."""


@dataclass(frozen=True)
class Case:
    """A case: its number and its kind."""

    number: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.number} ({self.kind.name})"


def campaign(order: Order) -> Tally:
    """Damage files until there are `order.count` damages."""
    tally = Tally()
    cases = _cases(order)
    if order.only:
        cases = [case for case in cases if str(case.number) == order.only.split()[0]]
    wanted = {case.kind.scene for case in cases}
    ready = {name: made(order) for name, made in _SCENES.items() if name in wanted}

    def one(case: Case) -> None:
        folder = order.folder / str(case.number)
        if not _tried(case, folder, ready[case.kind.scene], order, tally):
            shutil.rmtree(folder)

    for_each(cases, one, tally, order.jobs)
    return tally


def _cases(order: Order) -> list[Case]:
    """Cases in a random order, in which small counts have every kind as large ones do."""
    kinds = [kind for kind in KINDS for _ in range(kind.share)]
    draw = order.random("kinds")
    cases: list[Case] = []
    hits = 0
    while hits < order.count:
        batch = draw.sample(kinds, len(kinds))
        # Every kind once before any comes twice.
        if not cases:
            batch = draw.sample(KINDS, len(KINDS)) + batch
        for kind in batch:
            if hits < order.count:
                cases.append(Case(len(cases) + 1, kind))
                hits += kind.together
    return cases


def _tried(case: Case, folder: Path, scene: Scene, order: Order, tally: Tally) -> bool:
    """Try one case; True if it has faults."""
    draw = order.random(case.number)
    shutil.copytree(scene.place.folder, folder, symlinks=True)
    place = Place(folder)
    files = sorted(path for path in folder.glob(case.kind.pattern) if path.is_file())
    originals = sorted(
        path for path in scene.place.folder.glob(case.kind.pattern) if path.is_file()
    )
    hits = []
    for file in draw.sample(files, min(case.kind.together, len(files))):
        before = file.read_bytes()
        hits.append(Hit(file, before, strike(file, originals, draw)))
    found = False
    for hit, verdict in zip(hits, case.kind.judge(scene, place, hits), strict=True):
        tally.add("damages")
        if verdict.fault:
            tally.fault(str(case), f"{hit.text}: {verdict.fault}")
            found = True
        else:
            tally.add(f"{case.kind.name}: {verdict.outcome}")
    return found


# ---- judges ------------------------------------------------------------------------------------


def _named(run: Run, file: Path) -> bool:
    """True if the output names a file, or the cache entry that it is part of."""
    return run.says(file.name) or run.says(file.parent)


def _all(hits: Sequence[Hit], faults: Sequence[str]) -> list[Verdict]:
    return [Verdict(fault="; ".join(faults)) for _ in hits]


def _by_run(
    scene: Scene, place: Place, hits: Sequence[Hit], *, keep: bool, source: bool = False
) -> list[Verdict]:
    """Run the scene's sweep, with the records of the scene or without."""
    if not keep and place.out.exists():
        shutil.rmtree(place.out)
    run = place.run(scene.arguments(place))
    if faults := run.faults():
        return _all(hits, faults)
    if run.status == 2:
        return [
            Verdict(REFUSED)
            if _named(run, hit.file)
            else Verdict(fault=f"refused, but not by path: {run.output.strip()[-300:]}")
            for hit in hits
        ]
    try:
        cells = sweeps.cells(place.out)
    except ValueError as error:
        return _all(hits, [f"status {run.status} and a damaged {error}"])
    failed = [cell.error or "" for cell in cells.values() if cell.status == "failed"]
    if failed and source and set(cells).isdisjoint(scene.cells):
        return [Verdict(OTHER_FAILS) for _ in hits]
    if failed:
        return _all(hits, [f"a failed cell: {failed[0]}"])
    if run.status:
        return _all(hits, [f"status {run.status}: {run.output.strip()[-300:]}"])
    if set(cells) != set(scene.cells):
        if source:
            return [Verdict(OTHER_KEY) for _ in hits]
        return _all(hits, ["other keys"])
    changes = [x for key, cell in cells.items() if (x := _change(cell, scene.cells[key]))]
    if changes and source and all(hit.file.suffix == ".jpg" for hit in hits):
        return [Verdict(PIXELS) for _ in hits]
    if changes:
        return _all(hits, [f"SILENTLY WRONG: another {', '.join(changes)}"])
    remarks = " ".join(str(cell.record.get("details")) for cell in cells.values())
    verdicts = []
    for hit in hits:
        rebuilt = not source and hit.file.exists() and hit.file.read_bytes() == hit.before
        noted = _named(run, hit.file) or (keep and "checkpoint was damaged" in remarks)
        verdicts.append(Verdict(NOTED if noted else REBUILT if rebuilt else NO_EFFECT))
    return verdicts


def _change(cell: Cell, before: Cell) -> str:
    """First difference of a cell; a remark that it was trained from the beginning is none."""
    without = {**before.record, "details": cell.record.get("details")}
    expected = Cell(
        before.method, before.seed, before.status, before.error, without, before.predictions
    )
    change = cell.differs_from(expected)
    return f"{cell.method} {change}" if change else ""


def _by_report(scene: Scene, place: Place, hits: Sequence[Hit]) -> list[Verdict]:
    """Read damaged records by `report`; the others are used."""
    run = place.run(["report", str(place.out)])
    if faults := run.faults():
        return _all(hits, faults)
    if run.status and len(hits) < len(scene.cells):
        return _all(hits, [f"status {run.status}: {run.output.strip()[-300:]}"])
    return [_of_record(scene, run, hit) for hit in hits]


def _of_record(scene: Scene, run: Run, hit: Hit) -> Verdict:
    if run.says(hit.file.name):
        return Verdict(REFUSED)
    try:
        cell = sweeps.cell(hit.file)
    except ValueError as error:
        return Verdict(fault=f"not named, although no record: {error}")
    change = cell.differs_from(scene.cells[hit.file.stem])
    return Verdict(fault=f"SILENTLY WRONG: {change}") if change else Verdict(NO_EFFECT)


def _by_compare(scene: Scene, place: Place, hits: Sequence[Hit]) -> list[Verdict]:
    """Read damaged predictions by `compare`."""
    (hit,) = hits
    a = scene.cells[hit.file.stem].method
    b = next(cell.method for cell in scene.cells.values() if cell.method != a)
    words = ["compare", str(place.out), "--a", a, "--b", b]
    return [_same(place, hit, words, lambda run: run.output.replace(str(place.folder), ""))]


def _by_predict(scene: Scene, place: Place, hits: Sequence[Hit], images: Path) -> list[Verdict]:
    """Read a damaged model by `predict`."""
    (hit,) = hits
    words = scenes.predicted(place, hit.file.stem, images)
    return [_same(place, hit, words, lambda _: (place.folder / "predicted.csv").read_text())]


def _same(place: Place, hit: Hit, words: Sequence[str], result: Callable[[Run], str]) -> Verdict:
    """Compare the results of a command on the damaged file and on the file as it was."""
    run = place.run(words)
    if faults := run.faults():
        return Verdict(fault="; ".join(faults))
    if run.status == 2:
        return (
            Verdict(REFUSED)
            if _named(run, hit.file)
            else Verdict(fault=f"refused, but not by path: {run.output.strip()[-300:]}")
        )
    if run.status:
        return Verdict(fault=f"status {run.status}: {run.output.strip()[-300:]}")
    found = result(run)
    hit.file.write_bytes(hit.before)
    if found == result(place.run(words)):
        return Verdict(NO_EFFECT)
    return Verdict(fault="SILENTLY WRONG: other results")


def _by_plan(scene: Scene, place: Place, hits: Sequence[Hit]) -> list[Verdict]:
    """Read a damaged recipe by `plan`; another number in it is another configuration."""
    (hit,) = hits
    run = place.run(["plan", *scenes.TUNED, "--recipe", str(hit.file), "--out", str(place.out)])
    if faults := run.faults():
        return _all(hits, faults)
    if run.status == 2 and not _named(run, hit.file):
        return _all(hits, [f"refused, but not by path: {run.output.strip()[-300:]}"])
    return [Verdict(REFUSED if run.status else OTHER_KEY)]


def _interrupted(method: str, order: Order) -> Scene:
    return scenes.interrupted(order.folder / f"interrupted_{method}", method)


# ---- kinds -------------------------------------------------------------------------------------

_EXAMPLES = sweeps.ROOT / "docs" / "examples" / "own_data" / "images"
_again = partial(_by_run, keep=False)
_on = partial(_by_run, keep=True)
_source = partial(_by_run, keep=False, source=True)
KINDS = (
    Kind("records", "finished", "out/records/*.json", _by_report, 4, 12),
    Kind("records, continued", "finished", "out/records/*.json", _on, 4, 1),
    Kind("predictions", "finished", "out/records/*.npz", _by_compare, 1, 25),
    Kind("models", "finished", "out/models/*.safetensors",
         partial(_by_predict, images=_EXAMPLES), 1, 3),
    Kind("features", "finished", "cache/features/*.safetensors", _again, 4, 8),
    Kind("index of features", "finished", "cache/features/*.json", _again, 1, 1),
    Kind("cached arrays", "finished", "cache/duplicates/*/*", _again, 1, 3),
    *(
        Kind("checkpoints", f"interrupted {method}", "out/checkpoints/*.pt", _on, 2, 4)
        for method in CHECKPOINTED
    ),
    Kind("recipes", "finished", "recipe.yaml", _by_plan, 1, 4),
    Kind("resized copies", "own", "cache/resized/*/*", _again, 1, 4),
    Kind("own features", "own", "cache/features/*.safetensors", _again, 4, 2),
    Kind("own YAML", "own", "data/own.yaml", _source, 1, 2),
    Kind("own table", "own", "data/labels.csv", _source, 1, 2),
    Kind("own PNG images", "own", "data/images/*.png", _source, 1, 3),
    Kind("own JPEG images", "own", "data/images/*.jpg", _source, 1, 2),
    Kind("own weights", "own", "weights/*", _source, 1, 3),
)  # fmt: skip
_SCENES: dict[str, Callable[[Order], Scene]] = {
    "finished": lambda order: scenes.finished(order.folder / "finished"),
    "own": lambda order: scenes.own(order.folder / "own", order.seed),
    **{f"interrupted {method}": partial(_interrupted, method) for method in CHECKPOINTED},
}
