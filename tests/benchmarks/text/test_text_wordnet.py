"""WordNet's glosses, from files written here in its documented format and from a real one."""

from __future__ import annotations

import os
import re
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.datasets.families.cifar import Cifar10LT
from benchmarks.datasets.files.texts import assemble
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.text import Package, read_package, wordnet

LICENCE = [
    "This software and database is being provided to you, the LICENSEE, by",
    "WordNet {} Copyright 2006 by Princeton University.  All rights reserved.",
]
SYNSETS = [
    (["crane"], 'lifts and moves heavy objects; lifting tackle; "the crane swung"; "two cranes"'),
    (["crane"], 'large long-necked wading bird: "a crane\'s nest"'),
    (["jack-o'-lantern", "carved_pumpkin"], "a lantern carved from a pumpkin | hollow;"),
    (["puffer", "pufferfish"], "a fish that inflates"),
    (["silence"], '"no definition here"'),
]


def write(
    folder: Path, version: str = "3.0", synsets: Sequence[tuple[list[str], str]] = SYNSETS
) -> list[str]:
    """Write a WordNet in the format of wndb(5WN); returns the wnids of `synsets`."""
    folder.mkdir(parents=True, exist_ok=True)
    data, offsets = b"", []
    for i, line in enumerate(LICENCE, 1):
        data += f"  {i} {line.format(version)}  \n".encode()
    senses: dict[str, list[str]] = {}
    for words, gloss in synsets:
        offset = f"{len(data):08d}"
        offsets.append(offset)
        spelt = " ".join(f"{word} 0" for word in words)
        data += (
            f"{offset} 06 n {len(words):02x} {spelt} 001 @ 00000000 n 0000 | {gloss}  \n".encode()
        )
        for word in words:
            senses.setdefault(word.lower(), []).append(offset)
    index = "".join(f"  {i} {line.format(version)}  \n" for i, line in enumerate(LICENCE, 1))
    for word, places in sorted(senses.items()):
        n = len(places)
        index += f"{word} n {n} 2 @ ~ {n} 0 {' '.join(places)}  \n"
    (folder / "data.noun").write_bytes(data)
    (folder / "index.noun").write_text(index, encoding="utf-8")
    return [f"n{offset}" for offset in offsets]


def of(*classes: str | tuple[str, str], synsets: dict[str, str] | None = None) -> Package:
    pairs = [(c, c) if isinstance(c, str) else c for c in classes]
    keys, names = zip(*pairs, strict=True)
    found = read_package("inaturalist2018").of_classes(keys, names)
    known = tuple((synsets or {}).get(key, s) for key, s in zip(keys, found.synsets, strict=True))
    return Package(**{**vars(found), "synsets": known})


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a WordNet, and no variable that points to one."""
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def small(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write the small WordNet to $WNHOME; returns its wnids."""
    monkeypatch.setenv("WNHOME", str(nowhere / "wn"))
    return write(nowhere / "wn/dict")


# ---- glosses -------------------------------------------------------------------------------------


def test_glosses_without_examples(small: list[str]) -> None:
    found, notes = wordnet.glosses(of(*small))
    assert found == [
        "lifts and moves heavy objects; lifting tackle",
        "large long-necked wading bird",
        "a lantern carved from a pumpkin | hollow",
        "a fish that inflates",
        None,
    ]
    assert notes == ("descriptions are glosses of WordNet 3.0",)


def test_a_wnid_is_an_exact_synset_and_a_name_its_first_sense(small: list[str]) -> None:
    bird = "large long-necked wading bird"
    machine = "lifts and moves heavy objects; lifting tackle"
    package = of(
        "crane", (small[1], "crane"), ("kran", "Crane"), ("jib", "x"), synsets={"jib": small[1]}
    )
    found, notes = wordnet.glosses(package)
    assert found == [machine, bird, machine, bird]
    assert notes[1].startswith("2 of 4 glosses are of the first noun sense of the class's name")


def test_the_name_takes_precedence_over_the_key(small: list[str]) -> None:
    found, _ = wordnet.glosses(of(("puffer", "no such fish"), ("x", "Carved  Pumpkin"), ("y", "z")))
    assert found == ["a fish that inflates", "a lantern carved from a pumpkin | hollow", None]


def test_wnids_are_ignored_in_another_version(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wnids = write(nowhere / "wn/dict", version="3.1")
    monkeypatch.setenv("WNHOME", str(nowhere / "wn"))
    found, notes = wordnet.glosses(of((wnids[0], "puffer"), (wnids[1], "unknown")))
    assert found == ["a fish that inflates", None]
    assert notes[0] == "descriptions are glosses of WordNet 3.1"
    assert notes[1].startswith("1 of 2")


def test_a_position_without_a_synset(small: list[str]) -> None:
    found, _ = wordnet.glosses(of("n00000003", f"n{int(small[1][1:]) + 1:08d}", "n99999999"))
    assert found == [None, None, None]


def test_missing_glosses_are_noted(small: list[str]) -> None:
    package = of("crane", "puffer", "no such thing", "nor this")
    found, _ = wordnet.glosses(package)
    texts, notes = assemble(package.names, package.templates, found)
    assert notes == (
        "2 of 4 classes have no description; their names were used instead: "
        "no such thing, nor this",
    )
    assert texts.descriptions is not None
    assert texts.descriptions[2:] == ("no such thing", "nor this")


# ---- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("WNSEARCHDIR", ""),
        ("WNHOME", "dict"),
        ("NLTK_DATA", "corpora/wordnet"),
        ("NLTK_DATA", "corpora/wordnet2021"),
        ("HOME", "nltk_data/corpora/wordnet"),
    ],
)
def test_usual_places(
    variable: str, folder: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(nowhere / "there"))
    write(nowhere / "there" / folder)
    assert wordnet.find().version == "3.0"


def test_nltks_archive(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpora = nowhere / "data/corpora"
    write(nowhere / "wordnet")
    corpora.mkdir(parents=True)
    with zipfile.ZipFile(corpora / "wordnet_ic.zip", "w") as archive:
        archive.writestr("wordnet_ic/ic-brown.dat", "information content, another corpus")
    monkeypatch.setenv("NLTK_DATA", f"{nowhere / 'none'}{os.pathsep}{nowhere / 'data'}")
    with pytest.raises(DataMissing):
        _elsewhere(wordnet.find)
    with zipfile.ZipFile(corpora / "wordnet.zip", "w") as archive:
        for file in ("data.noun", "index.noun"):
            archive.write(nowhere / "wordnet" / file, f"wordnet/{file}")
    assert wordnet.glosses(of("puffer"))[0] == ["a fish that inflates"]


def test_a_changed_file_is_read_again(small: list[str], nowhere: Path) -> None:
    before = Cifar10LT(descriptions="wordnet").pinned()["descriptions"]
    assert re.fullmatch(r"wordnet@[0-9a-f]{8}", before)
    assert Cifar10LT(descriptions="wordnet").pinned()["descriptions"] == before
    write(nowhere / "wn/dict", synsets=[(["puffer"], "something else")])
    os.utime(nowhere / "wn/dict/data.noun", ns=(1, 1))
    assert wordnet.glosses(of("puffer"))[0] == ["something else"]
    assert Cifar10LT(descriptions="wordnet").pinned()["descriptions"] != before


def _elsewhere(find: object) -> None:
    """Call `find`; skip if this machine has a system-wide WordNet."""
    if any(
        Path(p, "data.noun").is_file()
        for p in ("/usr/share/wordnet", "/usr/local/WordNet-3.0/dict")
    ):
        pytest.skip("this machine has a WordNet")
    find()  # type: ignore[operator]


def test_the_error_without_a_wordnet_lists_the_places(nowhere: Path) -> None:
    for call in (wordnet.find, Cifar10LT(descriptions="wordnet").pinned):
        with pytest.raises(UserError) as error:
            _elsewhere(call)
        text = str(error.value)
        assert "\n" not in text
        for part in (
            "$WNHOME/dict",
            "/usr/share/wordnet",
            "$NLTK_DATA",
            "apt install wordnet-base",
        ):
            assert part in text


def test_a_damaged_archive_is_reported(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLTK_DATA", str(nowhere))
    (nowhere / "corpora").mkdir()
    (nowhere / "corpora/wordnet.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match=r"wordnet\.zip: the archive is damaged"):
        wordnet.find()


# ---- the real one --------------------------------------------------------------------------------


@pytest.fixture
def real() -> wordnet.WordNet:
    """The WordNet of this machine; skip unless it has the version that wnids refer to."""
    try:
        found = wordnet.find()
    except DataMissing:
        pytest.skip("no WordNet on this machine (apt install wordnet-base, or nltk's corpus)")
    if found.version != wordnet.WNID_VERSION:
        pytest.skip(f"the WordNet on this machine is {found.version}, not {wordnet.WNID_VERSION}")
    return found


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "coco", "places", "voc2007"])
def test_synsets_in_the_packages_differ_from_the_first_senses(
    name: str, real: wordnet.WordNet
) -> None:
    package = read_package(name)
    first = real.first_senses([key.lower().replace(" ", "_") for key in package.keys])
    for key, synset in zip(package.keys, package.synsets, strict=True):
        if synset is not None:
            assert real.gloss(synset[1:]), key
            assert first.get(key.replace(" ", "_")) != synset[1:], key


@pytest.mark.usefixtures("real")
def test_imagenets_synsets_in_the_real_wordnet() -> None:
    """Compared with the definitions in timm, for every wnid of ImageNet."""
    from timm.data import ImageNetInfo

    package = read_package("imagenet")
    wordnet._read.cache_clear()
    start = time.perf_counter()
    found, notes = wordnet.glosses(package)
    assert time.perf_counter() - start < 1
    assert len(notes) == 1
    info = ImageNetInfo("imagenet-1k")
    for key, gloss in zip(package.keys, found, strict=True):
        # "lemmas: definition"
        assert info.label_name_to_description(key, detailed=True).endswith(f": {gloss}")
