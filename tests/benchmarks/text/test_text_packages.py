"""Text packages compared with the sources that they name, and with each other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from benchmarks import text
from benchmarks.datasets.files.texts import assemble
from benchmarks.text import Package, Variant, read_package

FOLDER = Path(text.__file__).parent
CLASSES = {
    "cifar10": 10,
    "cifar100": 100,
    "imagenet": 1000,
    "tiny_imagenet": 200,
    "places": 365,
    "voc2007": 20,
    "coco": 80,
}
FILES = sorted(file.stem for file in FOLDER.glob("*.yaml"))


def package(stem: str) -> Package:
    name, _, own = stem.partition(".")
    return read_package(name, "own" if own else "public")


def notes(found: Package) -> tuple[str, ...]:
    return assemble(found.names, found.templates, found.descriptions)[1]


# ---- every package -------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", FILES)
def test_every_package_is_well_formed(stem: str) -> None:
    found = package(stem)
    assert found.source and found.version
    assert len({len(getattr(found, f)) for f in ("keys", "names", "descriptions", "synsets")}) == 1
    assert len(set(found.keys)) == len(found.keys)
    assert all(name == " ".join(name.split()) for name in found.names)
    for template in found.templates:
        assert template.count("{}") == 1
        assert template.format("x").count("x") >= 1
    assert len(set(found.templates)) == len(found.templates)
    assert all(s is None or re.fullmatch(r"n\d{8}", s) for s in found.synsets)


@pytest.mark.parametrize("stem", FILES)
def test_entries_refer_to_existing_classes(stem: str) -> None:
    data = yaml.safe_load((FOLDER / f"{stem}.yaml").read_text("utf-8"))
    for field in ("names", "synsets"):
        if isinstance(data.get(field), dict):
            assert set(data[field]) <= set(package(stem).keys)


@pytest.mark.parametrize(("name", "classes"), CLASSES.items())
def test_own_packages_have_the_same_classes_and_unique_names(name: str, classes: int) -> None:
    public, own = read_package(name), read_package(name, "own")
    assert public.keys == own.keys
    assert len(public.keys) == classes
    assert len({name.lower() for name in own.names}) == classes
    assert own.names != public.names
    assert own.descriptions == public.descriptions
    assert own.synsets == public.synsets
    assert not notes(own)


@pytest.mark.parametrize(
    ("name", "hash_"), [("cifar100", "8bc65443aa0159a2"), ("cifar10", "1252f67b2d12be81")]
)
def test_texts_of_committed_records_are_unchanged(name: str, hash_: str) -> None:
    """Committed records refer to these hashes: a changed text needs a new package version."""
    found = read_package(name)
    assert assemble(found.names, found.templates, found.descriptions)[0].digest == hash_


# ---- compared with the sources -------------------------------------------------------------------


def test_imagenet_equals_open_clip() -> None:
    from open_clip import zero_shot_metadata as source

    found = read_package("imagenet")
    assert list(found.names) == list(source.IMAGENET_CLASSNAMES)
    made = [template("crane bird") for template in source.OPENAI_IMAGENET_TEMPLATES]
    assert sorted(t.format("crane bird") for t in found.templates) == sorted(made)
    assert found.templates[0] == "a photo of a {}."  # LIFT initialises its head with this one
    named = dict(zip(found.keys, found.names, strict=True))
    assert named["n01440764"] == "tench"
    assert (named["n02012849"], named["n03126707"]) == ("crane bird", "construction crane")
    assert named["n15075141"] == "toilet paper"
    assert found.synsets == found.keys == tuple(sorted(found.keys))


def test_imagenets_names_match_their_synsets() -> None:
    """timm's lemmas of a wnid share a word with the name, if both use the common name."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    found = read_package("imagenet")
    assert list(found.keys) == info.label_names()

    def words(phrase: str) -> set[str]:
        return {word.rstrip("s") for word in re.findall(r"[a-z]+", phrase.lower())}

    shared = sum(
        bool(words(name) & words(info.label_name_to_description(key, detailed=False)))
        for key, name in zip(found.keys, found.names, strict=True)
    )
    assert shared > 900  # shifted by one class, only about a hundred would


def test_imagenets_duplicate_names_are_noted() -> None:
    public, own = read_package("imagenet"), read_package("imagenet", "own")
    (note,) = notes(public)
    assert note.startswith("2 class names are each shared by several classes")
    assert note.endswith(": missile, sunglasses")
    doubled = {name for name, times in Counter(public.names).items() if times > 1}
    assert doubled == {"missile", "sunglasses"}
    apart = [o for o, p in zip(own.names, public.names, strict=True) if p in doubled]
    assert len(set(apart)) == 4


@pytest.mark.parametrize("variant", ["public", "own"])
def test_tiny_imagenet_is_200_classes_of_imagenet(variant: Variant) -> None:
    tiny, full = read_package("tiny_imagenet", variant), read_package("imagenet", variant)
    named = dict(zip(full.keys, full.names, strict=True))
    assert tiny.keys == tuple(sorted(tiny.keys))
    assert tiny.names == tuple(named[key] for key in tiny.keys)
    assert tiny.templates == full.templates
    # From the publisher's wnids.txt: the first, the last, the smallest and the largest.
    assert {"n02124075", "n02504458", "n01443537", "n12267677"} <= set(tiny.keys)


def test_places_equal_the_public_list(shared: Path) -> None:
    lines = (shared / "data/splits/places_lt/classnames.txt").read_text().splitlines()
    found = read_package("places")
    named = dict(zip(found.keys, found.names, strict=True))
    assert named == {key: name.replace("_", " ") for key, name in map(str.split, lines)}
    for file in ("Places_LT_train.txt", "Places_LT_test.txt"):
        lines = (shared / "data/splits/places_lt" / file).read_text().splitlines()
        folders = {int(line.split()[1]): line.split("/")[1] for line in lines}
        assert [folders[label] for label in range(365)] == list(found.keys)


@pytest.mark.parametrize(("name", "file"), [("voc2007", "voc_lt/voc"), ("coco", "coco_lt/coco")])
def test_labels_equal_the_public_list(name: str, file: str, shared: Path) -> None:
    lines = (shared / f"data/splits/{file}_labels.txt").read_text().splitlines()
    labels = [line.strip().rsplit(" ", 1) for line in lines]
    assert [key for key, _ in labels] == list(read_package(name).keys)
    assert [int(index) for _, index in labels] == list(range(CLASSES[name]))


def test_packages_with_a_single_template() -> None:
    for name in ("places", "voc2007", "coco", "inaturalist2018"):
        assert read_package(name).templates == ("a photo of a {}.",)


# ---- classes that come with the data -------------------------------------------------------------


@pytest.mark.parametrize("variant", ["public", "own"])
def test_classes_that_are_read_with_the_data(variant: Variant) -> None:
    empty = read_package("inaturalist2018", variant)
    assert empty.keys == ()
    found = empty.of_classes(["Ursus_arctos", "n02132136"])
    assert found.names == ("Ursus arctos", "n02132136")
    assert found.descriptions == (None, None)
    assert found.synsets == (None, "n02132136")
    assert found.templates == empty.templates
    assert empty.of_classes(["0", "1"], ["a b", "c d"]).names == ("a b", "c d")
    with pytest.raises(ValueError, match="differ in length"):
        empty.of_classes(["0", "1"], ["a b"])
