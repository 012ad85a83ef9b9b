"""A user's own images in WebDataset's shards: tar archives of samples.

A sample is the files of one name up to the first dot: `000017.jpg`, `000017.cls`, `000017.json`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.datasets.files.characters import shown
from benchmarks.datasets.files.image_files import SUFFIXES
from benchmarks.datasets.files.image_limits import largest_file, max_pixels
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.files.tar_members import Member, members, reading
from benchmarks.datasets.own.entries import UNASSIGNED, Complaints, Entry, Listing
from benchmarks.datasets.own.labels import labels_of, plain, unfit
from benchmarks.datasets.own.spec import Spec
from benchmarks.datasets.own.words import nfc
from benchmarks.errors import DataError, DataMissing, UserError, counted, first_few
from benchmarks.file_names import is_hidden
from benchmarks.input_files import MB, beyond
from benchmarks.yaml_files import load_json

_MOST_SHARDS = 100_000
_TEXT_BYTES = MB
"""Largest label, caption or JSON of a sample."""
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")

Read = Callable[[Member], bytes]
Sample = dict[str, Member]
"""Ending in lower case, such as `jpg` -> the member."""


def read_shards(spec: Spec) -> Listing:
    """List the images in the shards, sorted by id; no image is read.

    Raises:
        DataMissing: shards are missing.
        DataError: one cannot be read, or samples cannot be used; these are counted and the first
            few named.
    """
    wrong, pack = Complaints(spec.places.rows(), "sample"), TarPack()
    unused: Counter[str] = Counter()
    entries: dict[str, Entry] = {}
    reader = _Reader(spec, unused)
    for split, patterns in spec.places.shards.items():
        for shard in _files(patterns):
            number = pack.add(shard)
            for image, entry in reader.entries(shard, wrong.add):
                sid = nfc("/".join(filter(None, (split, shard.stem, entry.file))))
                if sid in entries:
                    raise DataError(f"{shard}: '{entry.file}' is there in two forms of Unicode.")
                entries[sid] = replace(entry, sid=sid, split=split or UNASSIGNED)
                pack.places[sid] = (number, image)
    wrong.refuse()
    if not entries:
        raise DataError(f"{spec.places.rows()}: there are no images in the shards.")
    passed = [f"{counted(n, 'member')} with the ending '.{ending}'" for ending, n in unused.items()]
    return Listing(
        tuple(entries[sid] for sid in sorted(entries)),
        pack=pack,
        captioned=any(entry.caption for entry in entries.values()),
        notes=(f"not used: {first_few(passed)}",) if passed else (),
    )


@dataclass(eq=False)
class TarPack:
    """Images in tar archives."""

    archives: list[Path] = field(default_factory=list)
    places: dict[str, tuple[int, Member]] = field(default_factory=dict)
    """Name -> number of the archive, and the member."""

    def add(self, archive: Path) -> int:
        """Add an archive and return its number.

        Raises:
            DataError: it is there already.
        """
        if archive in self.archives:
            raise DataError(f"{archive}: the shard is named twice.")
        self.archives.append(archive)
        return len(self.archives) - 1

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.archives)

    def place(self, name: str) -> str:
        number, member = self.places[name]
        return f"{self.archives[number]}, {member.name}"

    def size(self, name: str) -> int:
        return self.places[name][1].size

    def read(self, name: str) -> bytes:
        number, member = self.places[name]
        with reading(self.archives[number]) as read:
            return read(member)


def _files(patterns: tuple[Path, ...]) -> list[Path]:
    """The shards of one split.

    Raises:
        DataMissing: some are missing.
        DataError: a link that leads elsewhere, or two shards of one name.
    """
    found: list[Path] = []
    for pattern in patterns:
        names = _expanded(pattern)
        missing = [str(file) for file in names if not file.is_file()]
        if missing:
            number = counted(len(names), "shard")
            raise DataMissing(f"{len(missing)} of {number} not found: {first_few(missing)}.")
        found += names
    for file in found:
        Links(file.parent).check(file)
    stems = Counter(file.stem for file in found)
    twice = [stem for stem, n in stems.items() if n > 1]
    if twice:
        raise DataError(f"{patterns[0]}: several shards are called '{twice[0]}'; rename one.")
    return found


def _expanded(pattern: Path) -> list[Path]:
    """The files with the names that a pattern with {000..009} or * describes."""
    ranges = [(int(first), int(last)) for first, last in _RANGE.findall(str(pattern))]
    if math.prod(max(last - first + 1, 0) for first, last in ranges) > _MOST_SHARDS:
        raise UserError(f"{pattern}: more than {_MOST_SHARDS:,} shards.")
    texts = [str(pattern)]
    for _ in ranges:
        texts = [one for text in texts for one in _first_range(text)]
    found: list[Path] = []
    for file in map(Path, texts):
        if "*" not in file.name:
            found.append(file)
            continue
        matching = sorted(file.parent.glob(file.name)) if file.parent.is_dir() else []
        if not matching:
            raise DataMissing(f"{file}: no file has such a name.")
        found += matching
    if not found:
        raise UserError(f"{pattern}: the range of numbers is empty.")
    return found


def _first_range(text: str) -> Iterator[str]:
    """The texts for all numbers of the first range in a text."""
    found = _RANGE.search(text)
    assert found is not None
    for number in range(int(found[1]), int(found[2]) + 1):
        yield f"{text[: found.start()]}{number:0{len(found[1])}}{text[found.end() :]}"


def _samples(shard: Path) -> Iterator[tuple[str, Sample]]:
    """The samples of a shard by name, in its order.

    Raises:
        DataError: two members have one name.
    """
    samples: dict[str, Sample] = {}
    for member in members(shard):
        path = PurePosixPath(member.name)
        if any(map(is_hidden, path.parts)):
            continue
        stem, _, ending = path.name.partition(".")
        sample = samples.setdefault(str(path.with_name(stem)), {})
        if ending.lower() in sample:
            raise DataError(f"{shard}: two members are called '{member.name}'.")
        sample[ending.lower()] = member
    yield from samples.items()


class _Reader:
    """Makes entries of samples.

    Args:
        spec: the description.
        unused: counts the members that are no part of an entry, by ending.
    """

    def __init__(self, spec: Spec, unused: Counter[str]) -> None:
        self._spec, self._unused = spec, unused
        columns: Mapping[str, Any] = spec.columns
        image = columns.get("image")
        self._images = (image.lower(),) if image else tuple(s[1:] for s in SUFFIXES)
        roles = ("labels", "label") if spec.task == "multi" else ("label", "labels")
        self._label = next((columns[role] for role in roles if role in columns), "")
        self._keys = roles
        self._caption = columns.get("caption", "")
        self._largest = largest_file(max_pixels())

    def entries(
        self, shard: Path, complain: Callable[[str], None]
    ) -> Iterator[tuple[Member, Entry]]:
        """Yield the image of each sample and its entry, without a split.

        What is wrong with a sample is complained about.

        Raises:
            DataError: the shard cannot be read, or two members have one name.
        """
        samples = list(_samples(shard))
        try:
            with reading(shard) as read:  # once: on a network drive, each opening takes its time
                for key, sample in samples:
                    found = self._entry(shard, read, key, sample, complain)
                    if found is not None:
                        yield found
        except OSError as error:
            raise DataError(f"{shard}: cannot be read ({error.strerror or error}).") from error

    def _entry(
        self, shard: Path, read: Read, key: str, sample: Sample, complain: Callable[[str], None]
    ) -> tuple[Member, Entry] | None:
        """The image of a sample and its entry; None if it has none."""
        where = f"sample {shown(key)} of {shard.name}"
        images = [ending for ending in sample if ending in self._images]
        label = self._place_of_label(sample)
        caption = self._caption or ("txt" if "txt" in sample and label != "txt" else "")
        used = {*images, label.partition(".")[0], caption.partition(".")[0]}
        self._unused.update(ending for ending in sample if ending not in used)
        if not images and label.partition(".")[0] not in sample:
            return None
        trouble = self._incomplete(sample, images, label)
        labels: tuple[str, ...] = ()
        text = ""
        if not trouble:
            value, trouble = self._value(read, sample, label, self._keys)
        if not trouble:
            labels, trouble = labels_of(value, self._spec)
        if not trouble and caption:
            found, trouble = self._value(read, sample, caption, ("caption",))
            text = plain(found)
        trouble = trouble or unfit(labels, text)
        if trouble:
            complain(f"{where}: {trouble}")
            return None
        image = sample[images[0]]
        entry = Entry(image.name, image.name, "", labels, text, image.size, where)
        return image, entry

    def _place_of_label(self, sample: Sample) -> str:
        """The ending of a sample's label, or ENDING.KEY."""
        return self._label or next((e for e in ("cls", "json") if e in sample), "cls")

    def _incomplete(self, sample: Sample, images: list[str], label: str) -> str:
        """An error in the parts of a sample, or an empty text."""
        if not images:
            wanted = self._images[0] if len(self._images) == 1 else "jpg or the like"
            return f"there is no image (.{wanted}), but {self._parts(sample)}"
        if len(images) > 1:
            both = " and ".join(f".{ending}" for ending in images)
            return f"there are several images, {both}: write `columns: {{image: {images[0]}}}`"
        ending = label.partition(".")[0]
        if ending not in sample:
            wanted = f".{ending}" if self._label else ".cls or .json"
            return f"there is no label ({wanted}), but {self._parts(sample)}"
        size = sample[images[0]].size
        if not size:
            return f"the image .{images[0]} is empty"
        if size > self._largest:
            return f"the image .{images[0]} has {beyond(size, self._largest)}"
        return ""

    def _parts(self, sample: Sample) -> str:
        return first_few([f".{ending}" for ending in sample])

    def _value(
        self, read: Read, sample: Sample, place: str, keys: tuple[str, ...]
    ) -> tuple[Any, str]:
        """The value of a label or caption, and an error or an empty text.

        Args:
            read: reads members of the archive.
            sample: its sample.
            place: an ending, or `json.KEY`.
            keys: keys of a JSON that are tried if the place names none.
        """
        ending, _, key = place.partition(".")
        member = sample.get(ending)
        if member is None:
            return "", ""
        if member.size > _TEXT_BYTES:
            return "", f"the .{ending} has {beyond(member.size, _TEXT_BYTES)}"
        try:
            text = read(member).decode("utf-8")
        except UnicodeDecodeError:
            return "", f"the .{ending} is not text in UTF-8"
        if ending != "json":
            return text, ""
        try:
            value = load_json(text)
        except ValueError as error:
            return "", f"the .json is not valid JSON ({error})"
        if not isinstance(value, dict):
            return value, ""
        keys = (key,) if key else keys
        named = next((k for k in keys if k in value), None)
        if named is None:
            role = self._keys[0]
            return "", (
                f"the .json has no '{keys[0]}', but {first_few(list(value)) or 'nothing'}: write "
                f"`columns: {{{role}: json.KEY}}`"
            )
        if isinstance(value[named], dict):
            return "", f"the value of '{named}' in the .json is a mapping"
        return value[named], ""
