"""Trees over classes: heights against a walk over the paths, and where trees come from."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.families.inat2018 import RANKS, taxonomy
from benchmarks.datasets.families.places_lt import SCENES, PlacesLT, scene_hierarchy
from benchmarks.errors import DataError, NotApplicable, UserError
from benchmarks.hierarchy import Hierarchy, nested
from benchmarks.metrics import single_label_metrics, under_prior
from benchmarks.text import Package, read_package, wordnet
from tests.benchmarks.datasets.own_files import describe, family, load, tree

PATHS = (
    ("root", "animal", "bird", "jay"),
    ("root", "animal", "bird", "crow"),
    ("root", "animal", "cat"),
    ("root", "thing", "bird", "crane"),
    ("root", "thing", "bird", "crane", "tower crane"),
)
BIRDS = {"crow": 10, "jay": 10, "wren": 10}


def height(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Steps from the last common node, walking down from the root, to the farther end."""
    common = 0
    while common < min(len(a), len(b)) and a[common] == b[common]:
        common += 1
    return max(len(a), len(b)) - common


def test_heights_are_those_of_a_walk_down_from_the_root() -> None:
    made = Hierarchy(PATHS, "here")
    first, second = (part.ravel() for part in np.indices((5, 5)))
    expected = [height(PATHS[a], PATHS[b]) for a, b in zip(first, second, strict=True)]
    assert made.heights(first, second).tolist() == expected
    assert {0, 1, 2, 3, 4} <= set(expected)  # 1: a class that is a node above another
    order = [3, 0, 4]
    assert made.of(order).paths == tuple(PATHS[i] for i in order)


# ---- a user's tree -------------------------------------------------------------------------------


def test_groups_may_be_nested_and_hold_keys_or_names() -> None:
    tree = {"animal": {"bird": ["jay", "a crow"], "cat": None}, "thing": [{"tool": ["hoe"]}, "pot"]}
    made = nested(
        tree, ["jay", "crow", "cat", "hoe", "pot"], ["j", "a crow", "c", "h", "p"], "", ""
    )
    assert [path[1:] for path in made.paths] == [
        ("animal", "bird", "jay"),
        ("animal", "bird", "a crow"),
        ("animal", "cat"),
        ("thing", "tool", "hoe"),
        ("thing", "pot"),
    ]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": ["jay"], "b": ["cat", "jay"]}, "'jay' is in the tree twice"),
        ({"a": ["jay"]}, "1 of 2 classes are not in the tree: cat"),
        ({"a": ["jay", "cut"]}, r"Unknown class in here 'cut'\. Did you mean: cat"),
        ({"a": "jay"}, "write {group: "),
        ({"a": [True]}, "a node is a text, not True"),
    ],
)
def test_a_wrong_tree_is_refused_in_a_line(tree: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        nested(tree, ["jay", "cat"], ["jay", "cat"], "here", "")


def test_a_tree_of_a_thousand_levels_is_refused() -> None:
    tree: object = ["jay"]
    for _ in range(1000):
        tree = {"a": tree}
    with pytest.raises(UserError, match="more than 100 levels"):
        nested(tree, ["jay"], ["jay"], "here", "")


def test_own_data_may_have_a_tree_in_the_description_or_in_a_file(tmp_path: Path) -> None:
    tree(tmp_path / "photos", BIRDS)
    groups = {"black": ["crow"], "other": ["jay", "wren"]}
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    plain, inside, beside = (
        describe(tmp_path, file, images="photos", **keys)
        for file, keys in (
            ("plain", {}),
            ("inside", {"hierarchy": groups}),
            ("beside", {"hierarchy": "groups.json"}),
        )
    )
    assert load(plain).hierarchy is None
    for file in (inside, beside):
        built = load(file).hierarchy
        assert built is not None
        assert [path[1] for path in built().paths] == ["black", "other", "other"]
        assert family(file).card()["hierarchy"].endswith(": 1 / 2 / 3 nodes by level")
    keys = [family(file).pinned()["data"] for file in (plain, inside, beside)]
    assert keys[0] != keys[1] == keys[2]
    with pytest.raises(UserError, match=r"bad\.yaml, hierarchy: 2 of 3 classes are not in"):
        family(describe(tmp_path, "bad", images="photos", hierarchy={"black": ["crow"]}))


# ---- trees of data sets --------------------------------------------------------------------------


def test_glyphs_are_grouped_by_shape_and_colour() -> None:
    data: DataSet = Glyphs(classes=40).load(Path(), 0)
    assert data.hierarchy is not None
    made, facts = data.hierarchy(), data.facts
    for a in range(0, 40, 7):
        for b in range(40):
            alike = facts["shape"][a] == facts["shape"][b]
            same = alike and facts["colour"][a] == facts["colour"][b]
            expected = 0 if a == b else 1 if same else 2 if alike else 3
            assert made.heights(np.array([a]), np.array([b])).tolist() == [expected]


COARSE = (
    "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11"
    " 5 5 19 8 8 15 13 14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16"
    " 12 9 13 15 13 16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17 8 14 13"
)
"""Coarse label of each fine one, as others read them from the official files: sparse2coarse.py of
github.com/ryanchankh/cifar100coarse. Both are numbered in the order of their names."""


def test_cifar_100_has_the_coarse_labels_of_the_official_files() -> None:
    package = read_package("cifar100")
    coarse = {
        fine: i for i, group in enumerate(sorted(package.tree)) for fine in package.tree[group]
    }
    assert [coarse[key] for key in sorted(package.keys)] == [int(n) for n in COARSE.split()]


def test_cifar_100_has_twenty_groups_of_five() -> None:
    package = read_package("cifar100")
    made = nested(package.tree, package.keys, package.names, "", "")
    assert sorted(np.bincount(np.unique(made.nodes[:, 1], return_inverse=True)[1])) == [5] * 20
    group = {key: path[1] for key, path in zip(package.keys, made.paths, strict=True)}
    assert group["streetcar"] == group["rocket"] == "vehicles_2"
    assert read_package("cifar100", "own").tree == package.tree
    assert read_package("cifar10").tree is None


def test_inaturalist_has_its_taxonomy(tmp_path: Path) -> None:
    file = tmp_path / "categories.json"
    species = [
        {"id": i, "name": f"{genus} {i}", "genus": genus, **{rank: rank for rank in RANKS[:-1]}}
        for i, genus in enumerate(("Sitta", "Sitta", "Parus"))
    ]
    file.write_text(json.dumps(species[::-1]))
    made = taxonomy(file)
    assert made.paths[1] == ("root", *RANKS[:-1], "Sitta", "Sitta 1")
    assert made.heights(np.array([0, 0]), np.array([1, 2])).tolist() == [1, 2]
    file.write_text(json.dumps([{"id": 0, "name": "Sitta 0"}]))
    with pytest.raises(NotApplicable, match=r"categories\.json lacks the ranks kingdom, "):
        taxonomy(file)


SCENE_GROUPS = ["indoor", "outdoor, natural", "outdoor, man-made", *(f"g{i}" for i in range(16))]


def scenes(file: Path, keys: Sequence[str], marks: Callable[[int], set[int]]) -> Path:
    """A spreadsheet as Places365's: a mark in some of the columns from 0, for each class."""
    stream = io.StringIO()
    lines = csv.writer(stream)
    lines.writerow(["how to read this", *[""] * 19])
    lines.writerow(["category", *SCENE_GROUPS])
    for i, key in enumerate(keys):
        name = key.replace("-", "/")
        lines.writerow([f"'/{name[0]}/{name}'", *(str(int(j in marks(i))) for j in range(19))])
    file.write_text(stream.getvalue(), encoding="utf-8")
    return file


def test_places_has_the_groups_of_its_spreadsheet(tmp_path: Path) -> None:
    keys = read_package("places").keys
    file = scenes(tmp_path / "s.csv", keys, lambda i: {i % 3, 3 + i % 16, 18} | ({2} & {i % 5}))
    made = scene_hierarchy(file, keys)
    for i in (0, 1, 2, 364):
        first = min({i % 3} | ({2} & {i % 5}))  # the first of several marks
        groups = SCENE_GROUPS[first], f"g{min(i % 16, 15)}"
        assert made.paths[i] == ("root", *groups, keys[i])
    assert re.fullmatch(r"Places365's scene hierarchy \(s\.csv@[0-9a-f]{8}\)", made.source)
    order = scene_hierarchy(file, keys[::-1])
    assert order.paths == made.paths[::-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("'/a/airfield'", "'/a/airport'"), "1 of 365 classes have no"),
        (lambda text: text.replace("g15", ""), "names 18 groups of scenes, not 19"),
        (lambda text: text.splitlines()[0], "no scene hierarchy in CSV"),
        (lambda text: text.replace("g3", "g\x003"), "no scene hierarchy in CSV|name of a group"),
        (lambda text: "", "no scene hierarchy in CSV"),
    ],
)
def test_another_spreadsheet_is_refused_in_a_line(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    keys = read_package("places").keys
    file = scenes(tmp_path / "s.csv", keys, lambda i: {0, 3})
    file.write_text(change(file.read_text("utf-8")), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        scene_hierarchy(file, keys)


def test_places_looks_for_its_spreadsheet_beside_its_lists(tmp_path: Path) -> None:
    package = read_package("places")
    (tmp_path / "places_lt").mkdir()
    with pytest.raises(NotApplicable, match=r"places365\.csv beside the lists.*CSAILVision/places"):
        PlacesLT()._tree(tmp_path, package)()
    scenes(tmp_path / "places_lt" / SCENES, package.keys, lambda i: {0, 3})
    made = PlacesLT()._tree(tmp_path, package)()
    assert {path[1:3] for path in made.paths} == {("indoor", "g0")}


NOUNS = (
    ("entity", "", "@"),
    ("animal", "entity", "@"),
    ("jay", "animal", "@"),
    ("Rex", "jay", "@i"),
)


def write_nouns(folder: Path) -> dict[str, str]:
    """Write a WordNet in the format of wndb(5WN) without glosses; {word: wnid}."""
    data, places = b"  1 WordNet 3.0 Copyright 2006 by Princeton University.\n", {}
    for word, above, symbol in NOUNS:
        places[word] = f"{len(data):08d}"
        other = f"#p {places['entity']} n 0000 "  # a pointer of another kind
        pointers = f"002 {other}{symbol} {places[above]} n 0000 " if above else "000 "
        data += f"{places[word]} 03 n 02 {word} 0 x 0 {pointers}| a gloss\n".encode()
    folder.mkdir(parents=True)
    (folder / "data.noun").write_bytes(data)
    (folder / "index.noun").write_text("")
    return {word: f"n{place}" for word, place in places.items()}


def test_wordnet_gives_the_hypernyms_of_wnids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    wnids = write_nouns(tmp_path / "wn")
    empty = Package("", "", (), (), (), (), ())
    package = empty.of_classes([wnids["Rex"], wnids["animal"]])
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path / "wn"))
    made = wordnet.hierarchy(package)
    above = [wnids[word][1:] for word in ("entity", "animal", "jay", "Rex")]
    assert made.paths == (("root", *above), ("root", *above[:2]))
    assert made.source == "hypernyms of WordNet 3.0"
    with pytest.raises(NotApplicable, match=r"WordNet 3\.0 lacks 1 of 2 classes, owl"):
        wordnet.hierarchy(empty.of_classes([wnids["Rex"], "owl"]))
    monkeypatch.setattr(wordnet, "_places", lambda: iter(()))
    with pytest.raises(NotApplicable, match=r"needs WordNet 3\.0, which is not here"):
        wordnet.hierarchy(package)


# ---- distances of mistakes -----------------------------------------------------------------------


def test_mistakes_are_averaged_over_the_images_of_each_group() -> None:
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    predicted[labels == 3] = 3
    groups = np.array(["many", "medium", "medium", "few", "few"])
    heights = Hierarchy(PATHS, "").heights(predicted, labels)
    metrics = single_label_metrics(predicted, np.ones(60), labels, groups, heights=heights)
    off = {
        group: [
            height(PATHS[p], PATHS[y])
            for p, y in zip(predicted, labels, strict=True)
            if p != y and group in ("all", groups[y])
        ]
        for group in ("all", "many", "medium")
    }
    assert len(off["many"]) > 3 and len(off["medium"]) > 3
    assert metrics.mistakes == pytest.approx(np.mean(off["all"]))
    assert metrics.mistakes_many == pytest.approx(np.mean(off["many"]))
    assert metrics.mistakes_medium == pytest.approx(np.mean(off["medium"]))
    assert metrics.mistakes_few is None  # no mistakes
    without = single_label_metrics(predicted, np.ones(60), labels, groups)
    assert without.mistakes is None and without.overall == metrics.overall
    told = under_prior(metrics, np.full(5, 0.2))
    assert (told.mistakes, told.mistakes_many) == (None, None)  # of other images
