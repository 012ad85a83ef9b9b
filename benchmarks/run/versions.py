"""Versions of Python and of the packages that numbers depend on. Imports none of them."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache

PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "pandas")


@cache
def versions() -> dict[str, str]:
    """Return the version of each that is installed here, by name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
