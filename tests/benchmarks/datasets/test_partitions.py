"""Partitions of classes: files, pre-training frequency, coverage, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.partitions import Partition, by_frequency, is_partition, partition_of
from benchmarks.errors import UserError
from benchmarks.text import CORPORA, read_frequencies, read_package

NAMES = ("owl", "red kite", "007", "eel")


def read(file: Path, text: str) -> Partition:
    file.write_text(text, encoding="utf-8")
    return partition_of(str(file), "--groups", "mine", {}, NAMES)


def test_yaml_and_csv_say_the_same(tmp_path: Path) -> None:
    yaml = read(tmp_path / "g.yaml", "birds: [owl, red kite]\nothers: ['007', eel]\n")
    table = "group,class\nbirds,red kite\nothers,eel\nothers,007\nbirds,owl\n"
    csv = read(tmp_path / "g.CSV", table)
    assert yaml.groups == csv.groups == ("birds", "others")
    assert yaml.membership == csv.membership == ("birds", "birds", "others", "others")
    assert yaml.digest == csv.digest and yaml.title == "g.yaml"
    other = read(tmp_path / "h.yaml", "birds: [owl]\nothers: [red kite, '007', eel]\n")
    assert other.digest != yaml.digest


def test_frequencies_become_thirds(tmp_path: Path) -> None:
    text = "class,frequency\nowl,5\nred kite,1e6\n007,0\neel,5\n"
    found = read(tmp_path / "f.csv", text)
    assert found.membership == ("frequent", "frequent", "rare", "middle")  # ties: class order
    assert found.groups == ("frequent", "middle", "rare")
    assert found.frequency == (5.0, 1e6, 0.0, 5.0)
    assert by_frequency("x", [3.0, 9.0]).groups == ("frequent", "middle")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.yaml",
            "birds: [owl]\nothers: [eel]\n",
            "2 of 4 classes are in no group: red kite, 007",
        ),
        ("a.yaml", "birds: [owl, red kite, '007', eal]\n", "class in .*'eal'.*eel"),
        ("a.yaml", "birds: [owl, eel]\nothers: [red kite, '007', eel]\n", "'eel' is in it twice"),
        ("a.yaml", "birds: owl\n", "the group 'birds' is not a list"),
        ("a.yaml", "birds: []\n", "the group 'birds' is not a list"),
        ("a.yaml", "- owl\n", "groups are a mapping"),
        ("a.yaml", "'': [owl, red kite, '007', eel]\n", "1 to 40 characters"),
        ("a.csv", "name,group\nowl,a\n", "needs the columns 'class' and 'group'"),
        ("a.csv", "", "needs the columns"),
        ("a.csv", "class,group\nowl,a\nred kite,a\n007\neel,a\n", "1 to 40 characters"),
        ("a.csv", "class,frequency\nowl,many\n", "frequency of 'owl' is not a number"),
        ("a.csv", "class,frequency\nowl,-1\n", "frequency of 'owl' is not a number"),
        ("a.csv", "class,frequency\nowl,nan\n", "frequency of 'owl' is not a number"),
    ],
)
def test_a_file_that_is_no_partition(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        read(tmp_path / name, text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.csv"):
        with pytest.raises(UserError, match="Cannot read"):
            partition_of(str(tmp_path / name), "--groups", "mine", {}, NAMES)
    (tmp_path / "b.csv").write_bytes(b"class,group\n\xff,a\n")
    with pytest.raises(UserError, match="not UTF-8"):
        partition_of(str(tmp_path / "b.csv"), "--groups", "mine", {}, NAMES)


def test_classes_of_one_name_cannot_be_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("all: [crane]\n", encoding="utf-8")
    with pytest.raises(UserError, match="two classes of the data are called 'crane'"):
        partition_of(str(file), "--groups", "mine", {}, ("crane", "crane"))


def test_coverage_of_the_embedded_world() -> None:
    world = Glyphs(classes=20, coverage=0.3, world_seed=3)
    known = world._classes()
    found = partition_of(
        "coverage", "--groups", "glyphs100_lt (classes=20, test_prior=uniform)",
        {"classes": 20, "coverage": 0.3, "world_seed": 3, "test_prior": "uniform"}, known.names,
    )  # fmt: skip
    expected = ["covered" if yes else "not covered" for yes in known.chosen.covered]
    assert list(found.membership) == expected
    assert found.membership.count("covered") == 6
    with pytest.raises(UserError, match="coverage of the classes of cifar100_lt is not known"):
        partition_of("coverage", "--groups", "cifar100_lt", {}, NAMES)


@pytest.mark.parametrize("corpus", CORPORA)
def test_frequencies_of_imagenet_and_places(corpus: str) -> None:
    for data, name in (("imagenet_lt", "imagenet"), ("places_lt", "places")):
        keys = read_package(name).keys
        counts = read_frequencies(name, corpus)
        assert set(counts) == set(keys)  # each class has a count
        found = partition_of(corpus, "--groups", data, {}, keys)
        assert found.frequency == tuple(counts[key] for key in keys)
        groups = np.array(found.membership)
        frequency = np.array(found.frequency)
        assert frequency[groups == "frequent"].min() >= frequency[groups == "middle"].max()
        assert frequency[groups == "middle"].min() >= frequency[groups == "rare"].max()
    with pytest.raises(UserError, match="only those of imagenet_lt, places_lt are"):
        partition_of(corpus, "--groups", "cifar100_lt_ir50", {}, NAMES)
    with pytest.raises(UserError, match="the list has 1000 classes, not 4"):
        partition_of(corpus, "--groups", "imagenet_lt", {}, NAMES)


def test_published_counts() -> None:
    """Counts that the authors' files have: T-shirt and tench in LAION-400M, beach in CC12M."""
    laion = read_frequencies("imagenet", "laion400m")
    assert laion["n03595614"] == 6137117 == max(laion.values())
    assert laion["n01440764"] == 917
    assert read_frequencies("places", "laion400m")["house"] == 4152398
    assert read_frequencies("imagenet", "cc12m")["n03595614"] == 266643


def test_names_of_partitions() -> None:
    assert all(map(is_partition, ["coverage", "laion2b", "x/y.csv", "z.YML"]))
    assert not any(map(is_partition, ["lift", "auto", "laion", "x.json"]))
