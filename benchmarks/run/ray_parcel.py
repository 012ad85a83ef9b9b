"""Parcels for the nodes of a Ray cluster: code, plug-ins, and data sets that are arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets.base import ArrayImages, DataSet, Split
from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import NotApplicable, UserError
from benchmarks.hierarchy import Hierarchy
from benchmarks.plugins.neighbours import Home
from benchmarks.plugins.origins import Origin, PluginFile
from benchmarks.run.ray_host import ROOT
from methods.registry import METHODS

LARGEST_COMPANY = 20 * 2**20
"""Bytes of Python files beside a plug-in that travel with it."""
_NOT_NEEDED = shutil.ignore_patterns(
    "__pycache__", "tools", "cli", "conformance", "reference", "runs"
)


def plugin_files() -> list[PluginFile]:
    """Return the files of the plug-ins that this process knows."""
    origins = [
        entry.origin for catalog in (METHODS, DATASETS) for entry in catalog.entries().values()
    ]
    return list(dict.fromkeys(one for one in origins if isinstance(one, PluginFile)))


def pack(folder: Path, plugins: Iterable[PluginFile]) -> list[str]:
    """Copy the packages that fit cells, and plug-ins with the modules beside them.

    Args:
        folder: empty; it becomes the folder of the code on each node.
        plugins: the plug-ins.

    Returns:
        The folders of plug-ins from which this process imports by name, relative to `folder`.

    Raises:
        UserError: beside a plug-in is more than one would send.
    """
    for package in ("benchmarks", "methods", "results"):
        shutil.copytree(ROOT / package, folder / package, ignore=_NOT_NEEDED)
    importable = {Path(path).resolve() for path in sys.path if path}
    found = []
    for home in {plugin.home: None for plugin in plugins}:
        place = _place(home)
        _copy_modules(home, folder / place)
        if home.folder.resolve() in importable - {ROOT}:
            found.append(place)
    return found


def there(origin: Origin) -> Origin:
    """Return a plug-in as the nodes find it."""
    if not isinstance(origin, PluginFile):
        return origin
    inside = origin.path.relative_to(origin.home.folder)
    return dataclasses.replace(origin, path=Path(_place(origin.home), inside))


def portable(data: DataSet) -> DataSet | None:
    """Return a data set that a node can use without its files; None if it is not all arrays.

    It is for fitting: there are no test labels in it.
    """
    held_out = [] if data.validation is None else [data.validation()]
    if not all(isinstance(s.images, ArrayImages) for s in (data.train, data.test, *held_out)):
        return None
    hidden = data.without_test_labels()
    train, test, *rest = map(_portable, (hidden.train, hidden.test, *held_out))
    found = dataclasses.replace(
        hidden, train=train, test=test, validation=_Constant(rest[0]) if rest else None,
        hierarchy=None if data.hierarchy is None else _built(data.hierarchy),
    )  # fmt: skip
    # It covers the test labels, so it cannot be computed there.
    vars(found)["split_hash"] = data.split_hash
    return found


def _portable(split: Split) -> Split:
    images = split.images
    assert isinstance(images, ArrayImages)
    # The digest is part of the name of stored features, and may be that of files.
    held = ArrayImages(images.array, digest=_Constant(images.digest()))
    return dataclasses.replace(split, images=held)


def _built(hierarchy: Callable[[], Hierarchy]) -> Callable[[], Hierarchy]:
    """Return a function that needs no files, for a tree over the classes."""
    try:
        return _Constant(hierarchy())
    except NotApplicable as reason:
        return _Refusal(str(reason))


@dataclass(frozen=True)
class _Refusal:
    """A function that can be pickled and raises NotApplicable."""

    reason: str

    def __call__(self) -> Any:
        raise NotApplicable(self.reason)


@dataclass(frozen=True)
class _Constant:
    """A function that can be pickled and returns one value."""

    value: Any

    def __call__(self) -> Any:
        return self.value


def _place(home: Home) -> str:
    """Return the place of a plug-in's home among the code."""
    return f"plugins/{hashlib.sha256(str(home).encode()).hexdigest()[:16]}"


def _copy_modules(home: Home, target: Path) -> None:
    """Copy the modules of a home, and its packages with all that is in them."""
    source, size = home.folder, 0

    def copy(file: str, to: str) -> None:
        nonlocal size
        size += Path(file).stat().st_size
        if size > LARGEST_COMPANY:
            raise UserError(
                f"--ray: the Python files in {source} have more than {LARGEST_COMPANY >> 20} MB, "
                "and all would be sent to the nodes: move the plug-in to a folder of its own."
            )
        shutil.copyfile(file, to)

    target.mkdir(parents=True)
    for item in [source / home.only] if home.only else sorted(source.iterdir()):
        if item.suffix == ".py" and item.is_file():
            copy(str(item), str(target / item.name))
        elif (item / "__init__.py").is_file() and item.resolve().parent != ROOT:
            shutil.copytree(
                item, target / item.name, ignore=_hidden_or_compiled, copy_function=copy
            )


def _hidden_or_compiled(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(".") or name == "__pycache__"]
