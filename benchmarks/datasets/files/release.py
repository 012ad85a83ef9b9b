"""Published facts about a data set with public split lists: one `Release` per data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.datasets.files.fetch import Archive, Source
from benchmarks.datasets.files.locate import Rewrite, as_listed


@dataclass(frozen=True)
class Release:
    """Published lists, source of the images and folders to search for them.

    A field not known from a named source is left empty; the card then says "unverified".
    """

    title: str
    package: str
    """Text package; its keys, in order, are the classes."""
    classes: int
    recipe: str
    """Name of the published split: its authors and year."""
    lists: Mapping[str, Source]
    """Files by role: `train`, `test`, `validation` if there is an official one, and others."""
    official: Mapping[str, int]
    """Number of images by split."""
    folders: tuple[str, ...]
    """Folders under the data root to search, besides the one named after the data set."""
    layout: str
    """Expected layout on disk, for people."""
    images_from: str
    """Source of the images, for people."""
    source: str
    validation: str
    """Source of the images for `--select val`, for the card."""
    rewrites: tuple[Rewrite, ...] = (as_listed,)
    """Possible layouts of the images in their folder."""
    archives: tuple[Archive, ...] = ()
    """Archives of images that `download` fetches."""
    licence: str = ""
    groups: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Additional lines of the card."""
