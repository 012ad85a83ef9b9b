"""Source fingerprints of configured methods, which tell stale records from current ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from benchmarks.plugins import sources
from benchmarks.plugins.sources import Counted
from benchmarks.protocol import FEATURES_VERSION, PIXELS_VERSION, PROTOCOL_VERSION
from methods.parts.bases import base_config
from methods.parts.losses import loss_files
from methods.registry import METHODS, info_of


def fingerprint(name: str, config: Mapping[str, Any]) -> str:
    """The source fingerprint of a configured method: records with another one are stale.

    It covers the code of the method's file and of the modules that its numbers depend on, which are
    those of this project and those beside a plug-in (`benchmarks.plugins.sources`), the file of the
    loss that its field `loss` names, those of the method that its field `base_method` names
    (`methods.parts.bases`), and the versions of protocol, frozen features and, for methods on
    images, of their pixels.

    Args:
        name: of a registered method.
        config: its hyper-parameters.

    Returns:
        16 hexadecimal digits.

    Raises:
        UserError: the base is unknown, or it has no such field.
    """
    versions = [f"protocol {PROTOCOL_VERSION}", f"features {FEATURES_VERSION}"]
    if info_of(name).needs == "images":
        versions.append(f"pixels {PIXELS_VERSION}")
    files = _files(name, config)
    if {"base_method", "base_fields"} <= config.keys():
        files += _files(config["base_method"], base_config(config))
    return _fingerprint(tuple(files), tuple(versions))


def _files(name: str, config: Mapping[str, Any]) -> list[Counted]:
    """The files that a method's numbers come from: its own and that of the loss that it names."""
    entry = METHODS.entry(name)
    home = None if entry.origin is None else entry.origin.home
    return [Counted(entry.file, home), *map(Counted, loss_files(str(config.get("loss", ""))))]


@cache
def _fingerprint(files: tuple[Counted, ...], versions: tuple[str, ...]) -> str:
    return sources.fingerprint(files, versions)
