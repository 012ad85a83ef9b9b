"""What a data set of public lists says of itself: one value of `Release` a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.datasets.files.fetch import Archive, Source
from benchmarks.datasets.files.locate import Rewrite, as_listed


@dataclass(frozen=True)
class Release:
    """What was published: lists, where images are had, and where they are looked for.

    What is not known from a named source stays empty: the card says "unverified".
    """

    title: str
    package: str
    """The text package; its keys, in their order, are the classes."""
    classes: int
    recipe: str
    """Who made the split."""
    lists: Mapping[str, Source]
    """`train`, `test`, and `validation` where there is an official one; other roles as well."""
    official: Mapping[str, int]
    """Images by split."""
    folders: tuple[str, ...]
    """Where images and lists may be under the data root, apart from a folder of the set's name."""
    layout: str
    """The expected layout on disk, for people."""
    images_from: str
    """Where the images are to be had."""
    source: str
    validation: str
    """Of what `--select val` takes, for the card."""
    rewrites: tuple[Rewrite, ...] = (as_listed,)
    """Layouts that the images may have in their folder."""
    archives: tuple[Archive, ...] = ()
    """What `download` fetches of the images."""
    licence: str = ""
    groups: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Further lines of the card."""
