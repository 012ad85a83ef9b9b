"""Records made up for tests: every field has a value, and any can be given."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics import Metrics, completed
from results.identity import cell_identity, cell_key
from results.schema import Cost, Groups, Provenance, Record, Selection

if TYPE_CHECKING:
    from benchmarks.sweep.cell import Cell


def tail_counts(classes: int, largest: int = 500, ratio: float = 100.0) -> tuple[int, ...]:
    """Exponentially falling training counts, (C,)."""
    steps = max(classes - 1, 1)
    return tuple(int(largest * ratio ** (-i / steps)) for i in range(classes))


def make_record(
    method: str = "lift",
    seed: int = 0,
    *,
    overall: float | None = 50.0,
    per_class: Sequence[float | None] | None = None,
    counts: Sequence[int] = (300, 200, 50, 30, 10, 5),
    **changes: Any,
) -> Record:
    """A record of `counts` classes, grouped by many > 100, few < 20.

    Args:
        overall: top-1 accuracy; the groups' values are the means of `per_class`.
        per_class: (C,) accuracies, by default `overall` for all.
        changes: fields of the record or, by the part's name and an underscore, of a part
            (`provenance_split_hash="x"`); a part as a whole by its name (`metrics=None`).
    """
    values = list(per_class) if per_class is not None else [overall] * len(counts)
    group = ["many" if n > 100 else "few" if n < 20 else "medium" for n in counts]
    means = {name: _mean(values, group, name) for name in ("many", "medium", "few", "")}
    present = [value for value in values if value is not None]
    parts: dict[str, Any] = {
        "metrics": completed(
            Metrics(
                overall=overall, many=means["many"], medium=means["medium"], few=means["few"],
                balanced=means[""], worst_class=min(present, default=None), ece=3.25,
                per_class=tuple(values),
            ),
            changes.get("task", "single"),
        ),
        "groups": Groups(
            "lift", group.count("many"), group.count("medium"), group.count("few"),
            tuple(counts), tuple(group),
        ),
        "selection": Selection("last", "last epoch"),
        "cost": Cost(65_000, 10, 1_000, 0, 12.5, 1.5, 800.0, None),
        "provenance": Provenance(
            git="0" * 40, dirty=False, versions={"torch": "2.6"}, hardware="two cores",
            weights_id="glyph-1", preprocess_hash="p" * 64, text_hash="t" * 64,
            split_hash="s" * 64, fingerprint="f" * 64, started="2026-01-01T00:00:00+00:00",
            finished="2026-01-01T00:01:00+00:00",
        ),
    }  # fmt: skip
    fields: dict[str, Any] = {
        "status": "done", "error": None, "dataset": "glyphs100_lt", "task": "single",
        "dataset_version": "1", "recipe": "exponential", "backbone": "glyph", "split_seed": 0,
        "protocol": "equal", "precision": "fp32", "deterministic": False, "config": {"lr": 0.01},
        "dataset_config": {"imbalance": 100},
        "class_names": tuple(f"class {i}" for i in range(len(values))),
    }  # fmt: skip
    for name, value in changes.items():
        part, _, inner = name.partition("_")
        if part in parts and inner:
            parts[part] = dataclasses.replace(parts[part], **{inner: value})
        elif name in parts:
            parts[name] = value
        else:
            fields[name] = value
    identity = repr((method, seed, sorted(fields.items(), key=lambda item: item[0]), parts))
    fields.setdefault("key", hashlib.sha256(identity.encode()).hexdigest()[:16])
    return Record(method=method, seed=seed, **parts, **fields)


def record_of(cell: Cell, **changes: Any) -> Record:
    """A made-up record of a planned cell; it can be stored."""
    known = {
        name: getattr(cell, name)
        for name in ("key", "identity", "dataset", "dataset_config", "protocol", "precision",
                     "split_seed", "transform", "image_size", "tuning", "config", "deterministic")
    }  # fmt: skip
    known |= {
        "backbone": cell.backbone.name, "dataset_version": cell.family.version,
        "provenance_weights_id": cell.backbone.weights_id, "groups_rule": cell.groups,
        "provenance_fingerprint": cell.fingerprint, "selection_rule": cell.select,
    }  # fmt: skip
    return make_record(cell.method, cell.seed, **{**known, **changes})


def with_key(record: Record) -> Record:
    """A record with the identity and the key that follow from its other fields."""
    assert record.groups and record.selection and record.provenance
    identity = cell_identity(
        method=record.method, config=record.config, family=record.dataset.partition(" (")[0],
        dataset_version=record.dataset_version, dataset_config=record.dataset_config,
        weights_id=record.provenance.weights_id, seed=record.seed, split_seed=record.split_seed,
        protocol=record.protocol, select=record.selection.rule, precision=record.precision,
        groups=record.groups.rule, transform=record.transform, image_size=record.image_size,
        tuning_trials=record.tuning.trials if record.tuning else None,
    )  # fmt: skip
    key = cell_key(identity, record.provenance.fingerprint)
    return dataclasses.replace(record, identity=identity, key=key)


def change_file(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record in a file on purpose: without its checksum, as a user may do."""
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    data.pop("checksum", None)
    file.write_text(json.dumps(data), encoding="utf-8")


def failed_record(method: str, seed: int = 0, error: str = "boom", **changes: Any) -> Record:
    """A cell that failed before there was anything to measure, only its end is known."""
    known = {"status": "failed", "error": error}
    empty = {"metrics": None, "groups": None, "selection": None, "cost": None}
    return make_record(method, seed, **{**known, **empty, **changes})


def fake_study(
    methods: int, classes: int, seeds: int = 3, *, largest: int = 500, task: str = "single"
) -> list[Record]:
    """A plausible study: methods that trade the head for the tail, with noise by class."""
    names = ("zero_shot", "linear_probe", "ncm", "logit_adjustment", "coop", "lmpt", "lift", "sage",
             "prototype", "tip_adapter", "clip_adapter", "wise_ft")  # fmt: skip
    counts = tail_counts(classes, largest)
    rank = np.linspace(0, 1, classes)
    records = []
    for m in range(methods):
        slope, base = 55 * (1 - m / methods), 55 + 3.0 * m
        for seed in range(1 if m == 0 else seeds):
            rng = np.random.default_rng([m, seed])
            own = np.random.default_rng(m + 7).normal(0, 7, classes) if m else np.zeros(classes)
            shape = -slope * (rank - 0.3) if m else np.full(classes, -8.0)
            noisy = base + shape + own + rng.normal(0, 2, classes) + rng.normal(0, 0.8)
            values = np.clip(noisy, 0, 100)
            records.append(
                make_record(
                    names[m % len(names)] + ("" if m < len(names) else f"_{m}"), seed,
                    overall=float(values.mean()), per_class=[float(v) for v in values],
                    counts=counts, deterministic=m == 0, task=task, cost_fit_s=3.0 * 4**m,
                    cost_trainable_params=[0, 51_200, 51_200, 102_400, 8_192, 65_536, 189_000,
                                           1_250_000, 86_000_000][m % 9],
                )
            )  # fmt: skip
    return records


def _mean(values: Sequence[float | None], group: Sequence[str], name: str) -> float | None:
    chosen = [v for v, g in zip(values, group, strict=True) if v is not None and name in ("", g)]
    return sum(chosen) / len(chosen) if chosen else None
