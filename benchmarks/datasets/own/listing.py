"""The images of a user's own data, from whatever kind of place its description names."""

from __future__ import annotations

from benchmarks.datasets.own.entries import Listing
from benchmarks.datasets.own.huggingface import read_huggingface
from benchmarks.datasets.own.shards import read_shards
from benchmarks.datasets.own.spec import Spec
from benchmarks.datasets.own.table import read_table
from benchmarks.datasets.own.tree import read_tree


def read_listing(spec: Spec) -> Listing:
    """List the images that a description names, sorted by id.

    Raises:
        DataMissing: there is no such folder or file.
        DataError: it cannot be used.
    """
    places = spec.places
    if places.table is not None:
        return read_table(spec)
    if places.shards:
        return read_shards(spec)
    if places.huggingface is not None:
        return read_huggingface(spec)
    return read_tree(places.images, spec.classes)
