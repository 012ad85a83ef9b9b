"""The plan of a sweep: its cells, its baselines and the records that exist already.

Nothing is run, and no data or weights are loaded.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.backbone.identify import identify
from benchmarks.datasets import registry as datasets
from benchmarks.datasets.base import Family
from benchmarks.datasets.class_texts import class_texts
from benchmarks.datasets.partitions import is_partition, partition_of, pinned
from benchmarks.errors import UserError, did_you_mean, first_few
from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import UNREPEATABLE, budget
from benchmarks.sweep.baselines import Baselines, resolve
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.earlier import EarlierFields
from benchmarks.sweep.fingerprints import fingerprint
from benchmarks.sweep.recipe_files import Recipe, RecipeBook
from benchmarks.sweep.recipe_state import is_stale
from benchmarks.sweep.rows.labels import method_of
from benchmarks.sweep.settings import Choice, Sweep, shard_of
from methods.registry import METHODS, info_of
from results.json_form import JsonFormError, check
from results.schema import Record, Tuning
from results.store import preference

ALL = "all"
"""Name in place of a method for every method that a sweep does not name."""


@dataclass(frozen=True)
class Planned:
    """A cell and its record, if there is one."""

    cell: Cell
    state: str
    """done, failed, not applicable, stale or missing."""
    record: Record | None
    """The cell's record, or the stale one."""

    def to_run(self, rerun: str, accept_stale: bool) -> bool:
        """Return True if `run` computes the cell, by the rerun strategy."""
        if rerun == "always" or self.state == "missing":
            return True
        if self.state == "stale":
            return not accept_stale
        return self.state == "failed" and rerun == "failed"


@dataclass(frozen=True)
class Expansion:
    """The cells of a sweep and the rows that the others are compared with."""

    cells: list[Cell]
    """Cells of the sweep's part (`shard`) in running order: data set, method, seeds. Each once."""
    baselines: Baselines
    """Cells, of all parts, that the labels of the sweep's `compare` name, at least one for each."""
    labelled: tuple[Cell, ...]
    """Cells of all parts; a cell with two labels appears twice."""

    @property
    def of_all_parts(self) -> list[Cell]:
        """Cells of all parts, each once."""
        return _once(self.labelled)

    def named(self, labels: Iterable[str]) -> Baselines:
        """Return the cells, of all parts, that each label names.

        Raises:
            UserError: a label that names several rows of a table.
        """
        return resolve(labels, self.labelled)


def expand(
    sweep: Sweep, say: Callable[[str], None] = lambda line: None, *, elsewhere: bool = False
) -> Expansion:
    """Return the cells of a sweep and its baselines.

    Args:
        sweep: the request.
        say: receives a line for each part of the sweep's file that the flags made useless.
        elsewhere: other machines run the cells, so the devices of this one do not matter, and the
            sweep says the precision.

    Raises:
        UserError: unknown names, fields or values, or a baseline that is not one row.
    """
    labelled = _labelled(sweep, say, elsewhere=elsewhere)
    baselines = resolve(sweep.compare, labelled)
    for label in [label for label, identities in baselines.items() if not identities]:
        if not sweep.narrowed:
            known = {cell.label for cell in labelled}
            raise did_you_mean("row of this sweep, asked for in 'compare',", label, known)
        if method_of(label) in {cell.method for cell in labelled}:
            say(f"Not compared with '{label}': with these flags no row is called so.")
        del baselines[label]
    unique = _once(labelled)
    part, parts = shard_of(sweep.shard)
    return Expansion(unique[part::parts], baselines, tuple(labelled))


def _once(labelled: Iterable[Cell]) -> list[Cell]:
    """Return each cell once; a configuration may have two names (cifar100_lt_ir100)."""
    return list({cell.key: cell for cell in labelled}.values())


def _with_all(methods: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return the choices, with every method that is not among them in place of `all`."""
    known, named = METHODS.entries(), {choice.name for choice in methods}
    if ALL not in named or ALL in known:
        return tuple(methods)
    others = [Choice(name) for name in sorted(known.keys() - named)]
    found: list[Choice] = []
    for choice in methods:
        if choice.name == ALL and (choice.fields or choice.recipes is not None):
            raise UserError(
                f"methods: '{ALL}' takes no fields; name the method that has them, too."
            )
        found += others if choice.name == ALL else [choice]
        others = [] if choice.name == ALL else others
    return tuple(found)


def _labelled(sweep: Sweep, say: Callable[[str], None], *, elsewhere: bool) -> list[Cell]:
    """Return all cells in running order, once for each of their labels."""
    for file in sweep.plugin:
        METHODS.load_file(file)
    if not sweep.methods or not sweep.datasets:
        raise UserError(
            "Nothing to run: give --methods and --datasets (see `list`), or neither of them "
            "for the quick start."
        )
    sweep = dataclasses.replace(sweep, methods=_with_all(sweep.methods))
    for choice in sweep.methods:  # every name is checked before anything slow
        info_of(choice.name)
    for choice in sweep.datasets:
        data, _ = datasets.resolve(choice.name)
        if datasets.without_ratio(data.name) in METHODS.entries():  # `--set NAME.FIELD`
            raise datasets.taken(choice.name, "method", data.name)
    precision = sweep.precision if elsewhere else _precision(sweep)
    used: set[int] = set()
    recipes = RecipeBook(sweep.recipes, [c.recipes or () for c in sweep.methods])
    cells = []
    named: dict[str, tuple[str, Any]] = {}
    stale: dict[str, None] = {}
    for wanted in sweep.datasets:
        family, dataset = _family(sweep, wanted, used)
        _refuse_namesake(named, wanted.name, family)
        backbone = identify(sweep.backbone or family.default_backbone)
        protocol = sweep.protocol or ("equal" if backbone.form == "embedded" else "paper")
        typed, partition = _partition(sweep, family, dataset)
        configs = []
        for choice in sweep.methods:
            recipe = recipes.of(choice.recipes, choice.name, dataset, backbone.name, protocol)
            if recipe is None and choice.recipes and family.task in info_of(choice.name).tasks:
                raise UserError(
                    f"{choice}: none of its recipes ({', '.join(map(str, choice.recipes))}) is for "
                    f"{choice.name} on {dataset} with {backbone.name} under protocol {protocol}."
                )
            config, tuning = _config(sweep, choice, recipe, protocol, used)
            configs.append((choice, config, tuning))
            if recipe is not None and tuning is not None and tuning.stale:
                stale[str(recipe.file)] = None
        for split_seed in sweep.split_seeds:
            for choice, config, tuning in configs:
                _refuse_unrecordable(sweep, choice, config, tuning, family, dataset)
                deterministic = info_of(choice.name).deterministic
                code = fingerprint(choice.name, config)
                cells += [
                    Cell(
                        method=choice.name,
                        label=str(choice) if tuning is None else f"{choice} [{tuning}]",
                        config=config,
                        family=family,
                        dataset=dataset,
                        dataset_as_typed=wanted.name,
                        backbone=backbone,
                        seed=seed,
                        split_seed=split_seed,
                        protocol=protocol,
                        select=sweep.select,
                        precision=precision,
                        groups=_group_rule(sweep, family),
                        partition=partition,
                        partition_as_typed=typed,
                        deterministic=deterministic,
                        fingerprint=code,
                        tuning=tuning,
                        transform=sweep.transform,
                        image_size=sweep.image_size,
                        remark=sweep.remark,
                    )
                    for seed in ((0,) if deterministic else sweep.seeds)
                ]
    for i, (owner, field, _) in enumerate(sweep.set):
        if i not in used:
            raise UserError(
                f"--set {owner}.{field}: '{owner}' is neither a method nor a data set "
                "of this sweep."
            )
    own = {file for choice in sweep.methods for file in choice.recipes or ()}
    spare = {*sweep.recipes, *own} - set(sweep.recipe_flags) if sweep.narrowed else set()
    for recipe in recipes.refuse_unused(spare):
        if any(_near(recipe, cell) for cell in cells):
            say(f"Not used: {recipe.file} is for {recipe}.")
    if stale:
        verb = "recipe was" if len(stale) == 1 else "recipes were"
        say(
            f"{len(stale)} {verb} tuned with another version of the method's source: "
            f"{first_few(list(stale))}. `tune --again FILE` renews a recipe."
        )
    return cells


def _refuse_unrecordable(
    sweep: Sweep,
    choice: Choice,
    config: dict[str, Any],
    tuning: Tuning | None,
    family: Family,
    dataset: str,
) -> None:
    """Refuse, before anything runs, what no record could hold: huge numbers, endless texts."""
    values = {
        "method": choice.name,
        "config": config,
        "dataset": dataset,
        "dataset_config": family.pinned(),
        "remark": sweep.remark,
        "tuning": tuning,
    }
    try:
        check(Record, values, "record")
    except JsonFormError as error:
        raise UserError(
            f"{choice.name}, {family.name}: no record can hold this: {error}."
        ) from None


def _group_rule(sweep: Sweep, family: Family) -> str:
    """Return the group rule: the sweep's, else the family's, else that of the task."""
    for rule in (sweep.groups, family.default_groups):
        if rule != "auto" and not is_partition(rule):
            return rule
    return "lift" if family.task == "single" else "lmpt"


def _partition(sweep: Sweep, family: Family, dataset: str) -> tuple[str, str]:
    """Return the sweep's partition of the classes as typed and as records hold it; "" for none.

    Raises:
        UserError: its file cannot be used, or the classes are known and it does not fit them.
    """
    if not is_partition(sweep.groups):
        return "", ""
    texts = None if datasets.is_own(dataset) else class_texts(dataset, family.pinned())
    if texts is not None:
        partition_of(sweep.groups, "--groups", dataset, family.pinned(), texts.class_names)
    return sweep.groups, pinned(sweep.groups, "--groups")


def _near(recipe: Recipe, cell: Cell) -> bool:
    """Return True if a recipe is for the cell's method and data family, whatever the knobs."""
    name = recipe.dataset.partition(" (")[0]
    same = name == cell.family.name or name.startswith(f"{cell.family.name}_ir")
    return same and recipe.method == cell.method


def look_up(cells: list[Cell], records: list[Record], *, repeatable: bool = True) -> list[Planned]:
    """Return each cell with its record, if there is one.

    Args:
        cells: cells of a sweep.
        records: records of any cells.
        repeatable: treat records of runs with --no-deterministic as stale.
    """
    by_key = {r.key: r for r in records}
    by_identity = {r.identity: r for r in sorted(records, key=preference)}
    earlier = EarlierFields(records)
    planned = []
    for cell in cells:
        record = by_key.get(cell.key)
        if record is not None and repeatable and UNREPEATABLE in record.notes:
            planned.append(Planned(cell, "stale", record))
        elif record is not None:
            planned.append(Planned(cell, record.status.replace("_", " "), record))
        else:
            found = next(filter(None, map(by_identity.get, earlier.identities(cell))), None)
            planned.append(Planned(cell, "stale" if found else "missing", found))
    return planned


def of_other_data(planned: Iterable[Planned], records: Iterable[Record]) -> dict[str, int]:
    """Return the number of records of each data set that were made before its files changed.

    Args:
        planned: cells from `look_up`; only data sets with a missing record are considered.
        records: records of any cells.
    """
    cells = {p.cell.dataset: p.cell for p in planned if p.state == "missing"}
    found = Counter(
        record.dataset
        for record in records
        if record.dataset in cells and _made_before(cells[record.dataset], record)
    )
    return dict(found)


def _made_before(cell: Cell, record: Record) -> bool:
    """Return True if the record's data set differs only in its files, which are on this machine."""
    now, then = (_content(cell.family, c) for c in (cell.dataset_config, record.dataset_config))
    return bool(now) and now != then and cell.dataset_config | then == record.dataset_config


def _content(family: Family, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that is not a knob: it identifies file contents."""
    knobs = {field.name for field in dataclasses.fields(family)}  # type: ignore[arg-type]
    return {name: value for name, value in config.items() if name not in knobs}


def _family(sweep: Sweep, choice: Choice, used: set[int]) -> tuple[Family, str]:
    name = choice.name
    cls, fields = datasets.resolve(name)
    if sweep.group_counts and "group_counts" in {f.name for f in dataclasses.fields(cls)}:  # type: ignore[arg-type]
        fields["group_counts"] = sweep.group_counts
    fields |= dict(choice.fields) | _set_for(sweep, {name, cls.name}, used)
    family: Family = cls(**apply_fields(f"data set {name}", cls, fields)).resolve(sweep.data_root)
    return family, _shown(family)


def _refuse_namesake(named: dict[str, tuple[str, Any]], typed: str, family: Family) -> None:
    """Refuse two data sets with one name; `named` maps names to the typed text and the content."""
    content = _content(family, family.pinned())
    what = (family.task, family.version, family.default_groups, content)
    first, known = named.setdefault(family.name, (typed, what))
    if known != what:
        raise UserError(
            f"{first} and {typed} are two data sets called '{family.name}': give one of them "
            "another name with `name:`."
        )


def _shown(family: Family) -> str:
    """Return the name with every knob not at its default: another value is another table."""
    name, knobs, pinned = family.name, [], family.pinned()
    for field in dataclasses.fields(family):  # type: ignore[arg-type]
        value = pinned.get(field.name, field.default)
        if field.name == "imbalance" and value != field.default:
            name += f"_ir{value:g}"
        elif field.name != "recipe" and value != field.default:  # a record has it
            knobs.append(f"{field.name}={value}")
    return f"{name} ({', '.join(knobs)})" if knobs else name


def _config(
    sweep: Sweep, choice: Choice, recipe: Recipe | None, protocol: str, used: set[int]
) -> tuple[dict[str, Any], Tuning | None]:
    """Return a method's configuration and what a recipe set in it.

    Defaults are overridden in this order: the protocol's budget, the recipe, the fields of the
    sweep's file, `--set`.
    """
    fields = METHODS.fields(choice.name)
    given = budget(protocol, fields)
    explicit = dict(choice.fields) | _set_for(sweep, {choice.name}, used)
    tuning = None
    if recipe is not None:
        read = apply_fields(  # names the file
            f"method {choice.name} in {recipe.file}", fields, recipe.fixed | recipe.fields
        )
        given |= recipe.fields
        kept = tuple(name for name in recipe.fields if name not in explicit)
        tuning = Tuning(recipe.origin, recipe.trials, kept, is_stale(recipe)) if kept else None
    config = apply_fields(f"method {choice.name}", fields, given | explicit)
    if recipe is not None and tuning is not None:
        for name in recipe.fixed:
            if config[name] != read[name]:
                raise UserError(
                    f"{choice}: {recipe.file} was tuned with {name}={read[name]}, this row has "
                    f"{name}={config[name]}; name the recipe in a row with {name}={read[name]}."
                )
    return config, tuning


def _set_for(sweep: Sweep, owners: set[str], used: set[int]) -> dict[str, Any]:
    """Return the `--set` values of a method or data set, and mark them as used."""
    found = {}
    for i, (owner, field, value) in enumerate(sweep.set):
        if owner in owners:
            found[field] = value
            used.add(i)
    return found


def _precision(sweep: Sweep) -> str:
    """Return the precision; `auto` is bf16 on a GPU that supports it, otherwise fp32."""
    from benchmarks import device as devices

    kind = devices.kind(sweep.device)
    if sweep.precision == "fp32" or (sweep.precision == "auto" and kind != "cuda"):
        return "fp32"
    works = devices.has_bf16(devices.pick(sweep.device))
    if sweep.precision == "auto":
        return "bf16" if works else "fp32"
    if not works:
        raise UserError("--precision bf16: this device does not support it; use fp32 or auto.")
    return sweep.precision
