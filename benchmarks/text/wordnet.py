"""Glosses and hypernyms of each class's noun, from a WordNet on this machine.

Reads the files `index.noun` and `data.noun` (format: wndb(5WN) in WordNet's manual), as installed
by Debian's package, by nltk's corpus (a folder or a .zip) or by WordNet itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.errors import DataError, DataMissing, NotApplicable, first_few
from benchmarks.hierarchy import ROOT, Hierarchy
from benchmarks.text import Package

WNID_VERSION = "3.0"
"""Wnids (`n01440764`) are byte positions in this version's data.noun; other versions differ."""

_INDEX, _DATA = "index.noun", "data.noun"
_EXAMPLES = re.compile(r'(?:^|[;:])\s*"')
"""Beginning of the examples in a gloss."""


@dataclass(frozen=True)
class WordNet:
    """The nouns of a WordNet."""

    version: str
    """Version stated in the licence text of its data file; empty if there is none."""
    digest: str
    """The first 8 digits of the SHA-256 of its data file."""
    data: bytes
    index: bytes

    def gloss(self, synset: str) -> str | None:
        """The definition of the noun at a byte position (8 digits), without example sentences."""
        start = int(synset)
        if not self.data.startswith(synset.encode() + b" ", start):
            return None
        line = self.data[start : self.data.find(b"\n", start)].decode("utf-8", "replace")
        gloss = line.partition("| ")[2]
        return _EXAMPLES.split(gloss)[0].strip(" ;:") or None

    def above(self, synset: str) -> list[str]:
        """Byte positions from the most general noun down to the one at a byte position.

        Of several hypernyms the first counts.

        Raises:
            DataError: the data file is damaged.
        """
        path = [synset]
        while (higher := self._hypernym(path[0])) is not None:
            if higher in path:
                raise DataError(f"WordNet is damaged: {synset} is its own hypernym.")
            path.insert(0, higher)
        return path

    def _hypernym(self, synset: str) -> str | None:
        """Byte position of the first hypernym of a noun; None for the most general noun."""
        start = int(synset)
        if not self.data.startswith(synset.encode() + b" ", start):
            raise DataError(f"WordNet is damaged: no noun at byte {synset} of its data file.")
        # offset lex_filenum ss_type w_cnt (word lex_id) × w_cnt p_cnt (symbol offset pos where) × …
        fields = self.data[start : self.data.find(b"\n", start)].partition(b"| ")[0].split()
        pointers = fields[4 + 2 * int(fields[3], 16) + 1 :]
        for symbol, target in zip(pointers[::4], pointers[1::4], strict=False):
            if symbol in (b"@", b"@i"):
                return target.decode()
        return None

    def first_senses(self, lemmas: Collection[str]) -> dict[str, str]:
        """{lemma: byte position of its first noun sense} of the lemmas that WordNet contains."""
        wanted = {lemma.encode() for lemma in lemmas}
        found = {}
        for line in self.index.splitlines():
            lemma = line.partition(b" ")[0]
            if lemma in wanted:
                fields = line.split()  # lemma pos synset_cnt … synset_offset × synset_cnt
                found[lemma.decode()] = fields[-int(fields[2])].decode()
        return found


def glosses(package: Package) -> tuple[list[str | None], tuple[str, ...]]:
    """(C,) glosses, None for classes that WordNet lacks, and footnotes.

    If the synset of a class is known (its key is a wnid, or the package names one), its gloss is
    used; otherwise that of the first noun sense of the class's name, or of its key.

    Raises:
        DataMissing: there is no WordNet on this machine.
        DataError: the WordNet cannot be read.
    """
    wordnet = find()
    synsets, guessed = _synsets(wordnet, package)
    found = [wordnet.gloss(synset) if synset else None for synset in synsets]
    notes = [f"descriptions are glosses of WordNet {wordnet.version or 'of unknown version'}"]
    if guessed:
        notes.append(
            f"{guessed} of {len(found)} glosses are of the first noun sense of the class's name, "
            "which may not be the one meant"
        )
    return found, tuple(notes)


def hierarchy(package: Package) -> Hierarchy:
    """The tree of the classes' first hypernyms; the synsets are those of `glosses`.

    Raises:
        NotApplicable: there is no WordNet on this machine, or it lacks a class.
        DataError: the WordNet cannot be read.
    """
    try:
        wordnet = find()
    except DataMissing as missing:
        raise NotApplicable("the class hierarchy needs WordNet 3.0, which is not here") from missing
    synsets, guessed = _synsets(wordnet, package)
    lacking = [key for key, synset in zip(package.keys, synsets, strict=True) if synset is None]
    if lacking:
        raise NotApplicable(
            f"no class hierarchy: WordNet {wordnet.version} lacks {len(lacking)} of "
            f"{len(synsets)} classes, {first_few(lacking)}"
        )
    paths = tuple((ROOT, *wordnet.above(synset)) for synset in synsets if synset)
    first = f", by the first sense of {guessed} names" if guessed else ""
    return Hierarchy(
        paths, f"hypernyms of WordNet {wordnet.version or 'of unknown version'}{first}"
    )


def _synsets(wordnet: WordNet, package: Package) -> tuple[list[str | None], int]:
    """(C,) byte positions of the classes' nouns, and how many of them are first senses.

    None for a class that WordNet lacks.
    """
    exact = wordnet.version == WNID_VERSION
    lemmas = [
        (_lemma(name), _lemma(key)) for name, key in zip(package.names, package.keys, strict=True)
    ]
    senses = wordnet.first_senses({lemma for both in lemmas for lemma in both})
    found: list[str | None] = []
    guessed = 0
    for (name, key), synset in zip(lemmas, package.synsets, strict=True):
        noun = synset[1:] if exact and synset else None
        if noun is None or wordnet.gloss(noun) is None:
            noun = senses.get(name) or senses.get(key)
            guessed += noun is not None and wordnet.gloss(noun) is not None
        found.append(noun)
    return found, guessed


def _lemma(name: str) -> str:
    return "_".join(name.lower().split())


def find() -> WordNet:
    """The first WordNet in the usual places.

    Raises:
        DataMissing: there is none.
        DataError: it cannot be read.
    """
    for place in _places():
        if _contains_wordnet(place):
            return _read(place, _file(place).stat().st_mtime_ns)
    raise DataMissing(
        "descriptions=wordnet: no WordNet (index.noun, data.noun) in $WNSEARCHDIR, $WNHOME/dict, "
        "/usr/share/wordnet or an nltk_data/corpora/wordnet[.zip] ($NLTK_DATA, ~/nltk_data, …): "
        "`apt install wordnet-base`, or `pip install nltk` and `python -m nltk.downloader wordnet`."
    )


def _places() -> Iterator[Path]:
    """Places where a WordNet may be: folders, and .zip files that contain one."""
    if os.environ.get("WNSEARCHDIR"):
        yield Path(os.environ["WNSEARCHDIR"])
    if os.environ.get("WNHOME"):
        yield Path(os.environ["WNHOME"]) / "dict"
    # In the order of nltk.data.path.
    roots = [Path(root) for root in os.environ.get("NLTK_DATA", "").split(os.pathsep) if root]
    roots.append(Path.home() / "nltk_data")
    roots += [Path(sys.prefix) / part / "nltk_data" for part in ("", "share", "lib")]
    roots += [Path("/usr") / p / "nltk_data" for p in ("share", "local/share", "lib", "local/lib")]
    for root in roots:
        # `wordnet`, version 3.0, sorts before wordnet2021 and others.
        yield from sorted((root / "corpora").glob("wordnet*"))
    yield Path("/usr/share/wordnet")
    yield Path("/usr/local/WordNet-3.0/dict")


def _contains_wordnet(place: Path) -> bool:
    if place.suffix != ".zip":
        return (place / _DATA).is_file() and (place / _INDEX).is_file()
    try:
        with zipfile.ZipFile(place) as archive:
            return {_member(place, _DATA), _member(place, _INDEX)} <= set(archive.namelist())
    except OSError:
        return False
    except zipfile.BadZipFile as error:
        raise DataError(f"{place}: the archive is damaged ({error}).") from error


def _member(place: Path, file: str) -> str:
    return f"{place.stem}/{file}"


def _file(place: Path) -> Path:
    return place if place.suffix == ".zip" else place / _DATA


@cache
def _read(place: Path, _changed: int) -> WordNet:
    """Read the WordNet at `place`; the result is cached until its file changes."""
    try:
        if place.suffix == ".zip":
            with zipfile.ZipFile(place) as archive:
                data, index = (archive.read(_member(place, file)) for file in (_DATA, _INDEX))
        else:
            data, index = ((place / file).read_bytes() for file in (_DATA, _INDEX))
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{place}: WordNet cannot be read ({error}).") from error
    version = re.search(rb"WordNet (\d+(?:\.\d+)*) Copyright", data[:4096])
    return WordNet(
        version=version[1].decode() if version else "",
        digest=hashlib.sha256(data).hexdigest()[:8],
        data=data,
        index=index,
    )
