"""Completions of a command line, from the parsers and the registries, without torch."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence

from benchmarks.cli.parts.verbs import DEFAULT, build_parsers, find_verbs

WORD = re.compile(r"[a-z][a-z0-9_]*")
"""A value in a flag's metavar; names of other kinds of values are in capitals."""


def completions(words: Sequence[str]) -> list[str]:
    """Return what can take the place of the last word; nothing where files can.

    Args:
        words: typed behind `run_benchmarks.py`; the last one is being typed, and may be empty.
    """
    current = words[-1] if words else ""
    verbs = find_verbs()
    verb = words[0] if len(words) > 1 and words[0] in verbs else ""
    if len(words) <= 1 and not current.startswith("-"):
        return _starting(current, verbs)
    _, parsers = build_parsers(verbs)
    flags = parsers[verb or DEFAULT]._option_string_actions
    before = words[-2] if len(words) > 1 else ""
    flag, equals, value = current.partition("=")
    if equals and flag in flags:
        return [f"{flag}={found}" for found in _values(flags[flag], value, words)]
    if before in flags and flags[before].nargs != 0:
        return _values(flags[before], current, words)
    if current.startswith("-"):
        return _starting(current, (name for name in flags if name.startswith("--")))
    positionals = parsers[verb or DEFAULT]._get_positional_actions() if verb else []
    return [found for action in positionals for found in _values(action, current, words)]


def _starting(current: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(current)]


def _values(action: argparse.Action, current: str, words: Sequence[str]) -> list[str]:
    """Return the values of a flag or positional that begin as the current word."""
    if action.dest == "set":
        return _assignments(current, words)
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    names = _names(action, metavar)
    several = "," in metavar or action.dest in ("methods", "datasets", "track")
    done, comma, last = current.rpartition(",") if several else ("", "", current)
    chosen = done.split(",")
    return [f"{done}{comma}{name}" for name in _starting(last, names) if name not in chosen]


def _names(action: argparse.Action, metavar: str) -> list[str]:
    dest = action.dest
    if dest == "words" or (metavar == "NAME" and dest == "name"):  # a new name
        return []
    if action.choices is not None:
        return list(action.choices)
    if dest == "methods":
        return [*_methods(), "all"]
    if metavar == "METHOD" or dest in ("a", "b", "against"):
        return _methods()
    if dest == "datasets":
        return _datasets()
    if metavar == "METHOD|DATASET":
        return [*_methods(), *_datasets()]
    if metavar == "NAME":
        return [*_datasets(), *_backbones()] if dest == "names" else _architectures()
    if dest == "backbone":
        return _backbones()
    if dest == "track":
        from benchmarks.sweep.tracks import KINDS

        return [f"{kind}:" for kind in KINDS]
    if dest in ("columns", "metric", "sort", "metrics"):
        from benchmarks.metrics import METRICS
        from reports.columns import COSTS

        costs = list(COSTS.values()) if dest in ("columns", "sort") else []
        return [*METRICS, *costs, *(["rank", "asked"] if dest == "sort" else [])]
    parts = re.split(r"[|,\[\]]+", metavar)
    return [part for part in parts if WORD.fullmatch(part)]


def _assignments(current: str, words: Sequence[str]) -> list[str]:
    """Return completions of `NAME.FIELD=VALUE`, first for the names of the command line."""
    from benchmarks.datasets.registry import DATASETS
    from benchmarks.plugins.values import choices
    from methods.registry import METHODS

    owner, dot, rest = current.partition(".")
    if not dot:
        every = [*_methods(), *_datasets()]
        typed = {part for word in words[:-1] for part in re.split("[,=]", word)}
        named = [name for name in every if name in typed]
        return [f"{name}." for name in _starting(owner, named or every)]
    catalog = METHODS if owner in _methods() else DATASETS
    if owner not in catalog.entries(scan_only=True):
        return []
    fields = catalog.fields(owner)
    field, equals, value = rest.partition("=")
    if not equals:
        return [f"{owner}.{name}=" for name in _starting(field, fields)]
    hint = fields[field].hint if field in fields else None
    options = ["true", "false"] if hint is bool else choices(hint)
    return [f"{owner}.{field}={option}" for option in _starting(value, options)]


def _methods() -> list[str]:
    from methods.registry import METHODS

    return sorted(METHODS.entries(scan_only=True))


def _datasets() -> list[str]:
    from benchmarks.datasets.registry import DATASETS

    return sorted(DATASETS.entries(scan_only=True))


def _architectures() -> list[str]:
    from benchmarks.backbone.open_clip_tables import models

    return models()


def _backbones() -> list[str]:
    from benchmarks.backbone.open_clip_tables import all_pretrained

    weights = sorted(f"{arch}/{tag}" for arch, tag in all_pretrained())
    return ["glyph", *weights, "hf-hub:", "timm:", f"local-dir:{os.curdir}/"]
