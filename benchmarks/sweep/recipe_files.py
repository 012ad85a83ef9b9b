"""Recipes: files with tuned hyper-parameters of a method on one data set and backbone.

    method: lift
    dataset: glyphs100_lt (n_max=200)     # its name in tables
    backbone: glyph
    protocol: equal                       # optional; by default any
    origin: tuned-on-glyphs100_lt (n_max=200), 16 trials
    trials: 16                            # optional; 0 if nothing was tuned
    fields: {lr: 0.0213, tau: 1.2}

`tune` writes them, with its trials under `tuning`; those of a paper are written by hand. Fields
that were fixed while the others were tuned are under `tuning: {fixed: {text: both}}`: only a row
with the same values can use the recipe. `tuning: {source: HASH}` is the fingerprint of the method
that was tuned (`recipe_state`). Recipes never become defaults: a sweep names the ones it
uses, and every record states them. A comment that `tune` writes holds a checksum of the lines below
it; without that comment a recipe is read as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import UserError, counted, did_you_mean
from benchmarks.file_names import safe
from benchmarks.input_files import read_bytes
from benchmarks.plugins.ranges import Range
from benchmarks.plugins.values import coerce
from benchmarks.safe_files import remove_leftovers, replacing
from benchmarks.visible import visible
from benchmarks.yaml_files import YAML_LIMIT, yaml_mapping
from results.json_form import NAME

TRIALS = Range(0, 100_000)
"""Configurations that a search may have tried; 0 if there was none."""
FOLDS = Range(0, 1000)
"""Folds of the training images that may have scored a search; 0 if validation images did."""
FOLDER = Path("configs/recipes")
_HEAD = "# Written by `run_benchmarks.py tune`. `--recipe THIS_FILE` makes a sweep use it.\n"
_SUM = "# SHA-256 of the lines below (delete this line if you change them): "
_SUMMED = re.compile(re.escape(_SUM.encode()) + rb"([0-9a-f]{64})\n")
_TEXTS = ("method", "dataset", "backbone", "origin")
_KEYS = (*_TEXTS, "fields", "protocol", "trials", "tuning")


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of a method on one data set and backbone, and their origin."""

    file: Path
    method: str
    dataset: str
    backbone: str
    protocol: str
    """Empty: any."""
    origin: str
    trials: int
    fields: dict[str, Any]
    tuning: dict[str, Any] = field(default_factory=dict)
    """The search that found it; empty for a recipe written by hand."""

    @property
    def fixed(self) -> dict[str, Any]:
        """Fields that were fixed during tuning: only rows with these values can use the recipe."""
        return self.tuning.get("fixed") or {}

    @property
    def source(self) -> str:
        """Fingerprint of the method's source during tuning; empty if it is not known."""
        return str(self.tuning.get("source", ""))

    @property
    def folds(self) -> int:
        """Folds of the training images that scored the trials; 0 for validation images."""
        return int(self.tuning.get("folds", 0))

    def __str__(self) -> str:
        """Return the method, data set, backbone and protocol in words."""
        under = f" under protocol {self.protocol}" if self.protocol else ""
        return f"{self.method} on {self.dataset} with {self.backbone}{under}"

    def fits(self, method: str, dataset: str, backbone: str, protocol: str) -> bool:
        """Return True if the recipe is for cells with these names."""
        same = (self.method, self.dataset, self.backbone) == (method, dataset, backbone)
        return same and self.protocol in ("", protocol)


def recipe_files() -> list[Path]:
    """Return the files in `configs/recipes`, sorted by name."""
    return sorted(FOLDER.glob("*.yaml"))


def read_recipe(file: Path) -> Recipe:
    """Read the recipe in a file.

    Raises:
        UserError: the file cannot be read, or a key is missing, unknown or of a wrong type.
    """
    _refuse_damaged(file)
    values = yaml_mapping(file, "a recipe is a mapping such as 'method: lift'")
    for name in values:
        if name not in _KEYS:
            raise did_you_mean(f"key in {file}", name, _KEYS)
    for name in (*_TEXTS, "fields"):
        if name not in values:
            raise UserError(f"{file}: a recipe needs the key '{name}'.")
    texts = {name: coerce(values[name], str, f"{file}, {name}") for name in _TEXTS}
    for name, text in texts.items():
        if len(text) > NAME:
            raise UserError(f"{file}, {name}: {len(text):,} characters, more than {NAME:,}.")
    fields = values["fields"]
    if not isinstance(fields, dict) or not fields:
        raise UserError(f"{file}, fields: write a mapping such as 'lr: 0.01', not {fields!r}.")
    trials = coerce(values.get("trials", 0), int, f"{file}, trials")
    if wrong := TRIALS.complaint(trials):
        raise UserError(f"{file}, trials: {trials:.10g} is {wrong}.")
    return Recipe(
        file=file,
        protocol=coerce(values.get("protocol", ""), str, f"{file}, protocol"),
        trials=trials,
        fields={str(name): value for name, value in fields.items()},
        tuning=_tuning(values.get("tuning", {}), file),
        **texts,
    )


def _tuning(values: Any, file: Path) -> dict[str, Any]:
    """The part of a recipe that says how it was found.

    Raises:
        UserError: a value that others rely on is of a wrong type.
    """
    fixed = (values.get("fixed") or {}) if isinstance(values, dict) else None
    if not isinstance(fixed, dict):
        raise UserError(
            f"{file}, tuning: write a mapping, with 'fixed' as a mapping such as {{text: both}}."
        )
    folds = coerce(values.get("folds", 0), int, f"{file}, tuning, folds")
    if wrong := FOLDS.complaint(folds):
        raise UserError(f"{file}, tuning, folds: {folds:.10g} is {wrong}.")
    coerce(values.get("source", ""), str, f"{file}, tuning, source")
    found = {str(name): value for name, value in values.items()}
    if fixed:
        found["fixed"] = {str(name): value for name, value in fixed.items()}
    return found


def _refuse_damaged(file: Path) -> None:
    try:
        content = read_bytes(file, YAML_LIMIT)
    except OSError:
        return  # whoever reads the values says so
    found = _SUMMED.search(content)
    if found and hashlib.sha256(content[found.end() :]).hexdigest() != found[1].decode():
        raise UserError(
            f"{file} is not as `tune` wrote it: if you changed it, delete the line with its "
            "SHA-256; otherwise it is damaged."
        )


class RecipeBook:
    """The recipes of a sweep, which keeps track of the used ones.

    Args:
        shared: files for every method of the sweep.
        own: files of single entries.

    Raises:
        UserError: a file that is not a recipe.
    """

    def __init__(self, shared: Sequence[Path], own: Iterable[Sequence[Path]]) -> None:
        files = dict.fromkeys([*shared, *(file for some in own for file in some)])
        self._recipes = {file: read_recipe(file) for file in files}
        self._shared = shared
        self._unused = dict(self._recipes)

    def of(
        self, own: Sequence[Path] | None, method: str, dataset: str, backbone: str, protocol: str
    ) -> Recipe | None:
        """Return the recipe for cells with these names, from the `own` files or else the shared.

        Raises:
            UserError: two recipes fit.
        """
        among = dict.fromkeys(self._shared if own is None else own)
        every = [self._recipes[file] for file in among]
        found = [recipe for recipe in every if recipe.fits(method, dataset, backbone, protocol)]
        if len(found) > 1:
            raise UserError(f"Two recipes for {found[0]}: {found[0].file} and {found[1].file}.")
        for recipe in found:
            self._unused.pop(recipe.file, None)
        return found[0] if found else None

    def refuse_unused(self, spare: Container[Path] = ()) -> list[Recipe]:
        """Return the unused recipes, all of which are in `spare`.

        Raises:
            UserError: an unused recipe that is not in `spare`.
        """
        for recipe in self._unused.values():
            if recipe.file not in spare:
                raise UserError(f"{recipe.file} is for {recipe}, which is not in this sweep.")
        return list(self._unused.values())


def default_file(method: str, dataset: str, backbone: str) -> Path:
    """Return the default file of the recipe for cells with these names."""
    names = (safe(name, 60) for name in (method, dataset, backbone))  # 255 bytes are the limit
    return FOLDER / f"{'__'.join(names)}.yaml"


def refuse_to_lose(new: Recipe) -> None:
    """Refuse a search whose recipe would overwrite another one.

    Raises:
        UserError: the file is something other than an earlier state of this search.
    """
    if not new.file.exists():
        return
    try:
        old = read_recipe(new.file)
    except UserError as error:
        why = f"exists and is not a recipe ({error})"
    else:
        if (old.method, old.dataset, old.backbone, old.protocol) != (
            new.method, new.dataset, new.backbone, new.protocol
        ):  # fmt: skip
            why = f"is for {old}, not for {new}"
        elif old.fixed != new.fixed:
            why = f"was tuned with {_shown(old.fixed)} fixed, not {_shown(new.fixed)}"
        elif set(old.fields) != set(new.fields):
            why = f"sets {', '.join(old.fields)}, this search tunes {', '.join(new.fields)}"
        elif old.folds != new.folds:
            why = f"was scored on {_scored_on(old)}, this search scores on {_scored_on(new)}"
        elif old.trials == 0:
            why = "is not the result of a search"
        elif old.trials > new.trials:
            why = f"comes from {counted(old.trials, 'trial')}, more than the {new.trials} requested"
        else:
            return
    raise UserError(f"{new.file} {why}: name another file with --write.")


def _shown(fixed: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fixed.items()) or "nothing"


def _scored_on(recipe: Recipe) -> str:
    return f"{recipe.folds} folds" if recipe.folds else "validation images"


def _dumped(values: dict[str, Any], *, allow_unicode: bool) -> str:
    return yaml.safe_dump(
        values, sort_keys=False, allow_unicode=allow_unicode, width=100, default_flow_style=None
    )


def write_recipe(recipe: Recipe) -> None:
    """Write a recipe to its file, completely or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    values = {
        "method": recipe.method,
        "dataset": recipe.dataset,
        "backbone": recipe.backbone,
        "protocol": recipe.protocol,
        "origin": recipe.origin,
        "trials": recipe.trials,
        "fields": recipe.fields,
        "tuning": recipe.tuning,
    }
    text = _dumped(values, allow_unicode=True)
    if text != visible(text):  # quoted, with escapes
        text = _dumped(values, allow_unicode=False)
    body = text.encode("utf-8")
    try:
        recipe.file.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(recipe.file.parent, recipe.file.name)
        with replacing(recipe.file) as stream:
            stream.write(f"{_HEAD}{_SUM}{hashlib.sha256(body).hexdigest()}\n".encode() + body)
    except OSError as error:
        raise UserError(f"Cannot write {recipe.file}: {error.strerror or error}.") from error
