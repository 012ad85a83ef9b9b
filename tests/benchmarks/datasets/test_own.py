"""A user's own images in class folders, and the keys of their description."""

from __future__ import annotations

import os
import pickle
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets import long_tail, registry
from benchmarks.errors import DataError, UserError
from tests.benchmarks.datasets.own_files import describe, family, image, load, tree
from tests.benchmarks.text.test_text_wordnet import write as write_wordnet

BALANCED = {"crow": 10, "jay": 10, "wren": 10}


# ---- trees ---------------------------------------------------------------------------------------


def test_a_description_with_one_line(tmp_path: Path) -> None:
    tree(tmp_path / "photos", BALANCED)
    data = load(describe(tmp_path, images="photos"))
    assert (data.name, data.task, data.recipe) == ("birds", "single", "test drawn")
    assert data.texts.class_names == ("crow", "jay", "wren")
    assert data.texts.templates == ("a photo of a {}.",)
    assert data.counts.tolist() == [8, 8, 8]
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    assert sorted(data.train.ids + data.test.ids) == sorted(
        f"{name}/{i}.png" for name in BALANCED for i in range(10)
    )
    for split in (data.train, data.test):
        for i, sid in enumerate(split.ids):
            name, number = sid.removesuffix(".png").split("/")
            assert split.labels[i] == list(BALANCED).index(name)
            expected = np.asarray(Image.open(tmp_path / "photos" / name / f"{number}.png"))
            assert split.images.read(i).tolist() == expected.tolist()
    assert data.validation is None


def test_another_process_is_sent_an_equal_data_set(tmp_path: Path) -> None:
    tree(tmp_path / "photos", BALANCED)
    file = describe(tmp_path, images="photos")
    found = family(file, test_share=0.5)
    assert found.digest  # which the other process computes again
    sent = pickle.loads(pickle.dumps(found))
    assert sent == found and sent is not found
    assert family(file, test_share=0.5) == found  # equal cells are of one data set
    assert sent.load(tmp_path, 0).split_hash == found.load(tmp_path, 0).split_hash


def test_split_folders_are_kept(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 2, "valid/b": 2})
    data = load(describe(tmp_path, images="p"))
    assert data.recipe == "as given"
    assert list(data.train.ids) == [f"train/{f}.png" for f in ("a/0", "a/1", "a/2", "b/0", "b/1")]
    assert list(data.test.ids) == ["test/a/0.png", "test/b/0.png", "test/b/1.png"]
    assert data.validation is not None
    assert data.validation().ids == ("val/b/0.png", "val/b/1.png")
    assert data.validation().images.read(0).shape == (4, 6, 3)
    assert data.validation_source == "the data's own validation images"


def test_folders_of_splits_by_name(tmp_path: Path) -> None:
    tree(tmp_path, {"2019/a": 3, "2019/b": 2, "elsewhere/held_out/a": 1, "elsewhere/held_out/b": 2})
    named = load(describe(tmp_path, images={"train": "2019", "test": "elsewhere/held_out"}))
    tree(tmp_path / "p", {"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 2})
    plain = load(describe(tmp_path, images="p"))
    assert named.split_hash == plain.split_hash


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train": 5, "car": 5})
    assert load(describe(tmp_path, images="p")).texts.class_names == ("car", "train")


def test_skipped_files(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"a": 4, "b/deep/down": 3, "b": 2, "empty": 0, ".git": 3, "__MACOSX/a": 1})
    image(tmp_path / "p" / "A.PNG").rename(tmp_path / "p" / "a" / "upper.PNG")
    for hidden in ("._0.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / "p" / "a" / hidden).write_bytes(b"x")
    (tmp_path / "p" / "a" / "notes.txt").write_text("x")
    image(tmp_path / "p" / "beside.png")
    (tmp_path / "p" / "b" / "up").symlink_to(tmp_path / "p" / "b")  # a circle
    image(tmp_path / "p" / ".store" / "linked.png")
    (tmp_path / "p" / "a" / "linked.png").symlink_to("../.store/linked.png")
    data = load(describe(tmp_path, images="p"))
    found = {*data.train.ids, *data.test.ids}
    a = {"a/upper.PNG", "a/linked.png", *(f"a/{i}.png" for i in range(4))}
    b = {"b/0.png", "b/1.png", *(f"b/deep/down/{i}.png" for i in range(3))}
    assert found == a | b
    assert data.texts.class_names == ("a", "b", "empty")
    assert data.counts.tolist() == [5, 4, 0]
    notes = " ".join(data.notes)
    assert "1 image outside the class folders" in notes
    assert "1 file with the ending '.txt'" in notes
    assert "1 of 3 classes have no training images: empty" in data.gaps
    assert "1 of 3 classes have no test images: empty" in data.gaps


def test_ids_are_the_same_in_either_form_of_unicode(tmp_path: Path) -> None:
    hashes = []
    for form in ("NFC", "NFD"):
        root = tmp_path / form
        tree(root / "p", {unicodedata.normalize(form, f"crème brûlée {i}"): 3 for i in range(2)})
        data = load(describe(root, images="p"))
        assert data.train.images.read(0).shape == (4, 6, 3)
        assert data.train.ids[0].startswith(unicodedata.normalize("NFC", "crème brûlée 0/"))
        hashes.append((data.split_hash, data.texts.digest, data.test.ids))
    assert hashes[0] == hashes[1]


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"a": 2, "b": 2})
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in (tmp_path / "p").rglob("*.png"):
        Image.new("RGB", (6, 4)).save(file, exif=exif)
    data = load(describe(tmp_path, images="p"))
    assert data.train.images.read(0).shape == (6, 4, 3)
    assert data.upright


# ---- classes and texts ---------------------------------------------------------------------------


def test_classes_keep_the_given_order_and_names(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"n01": 3, "n02": 3, "snowy_owl": 3})
    keys = {"snowy_owl": None, "n02": "crane (bird)", "unseen": "dodo", "n01": "jay"}
    (tmp_path / "texts.json").write_text('{"jay": "a blue  bird", "n02": "it is tall"}')
    typed = describe(
        tmp_path, images="p", classes=keys, templates=["a {}.", "{}!"], descriptions="texts.json"
    )
    data = load(typed)
    assert data.texts.class_names == ("snowy owl", "crane (bird)", "dodo", "jay")
    assert data.texts.templates == ("a {}.", "{}!")
    assert data.texts.descriptions == ("snowy owl", "it is tall", "dodo", "a blue bird")
    assert data.counts.tolist() == [2, 2, 0, 2]
    assert any("2 of 4 classes have no description" in note for note in data.notes)


def test_folders_named_by_numbers_are_places_in_the_list(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"0": 2, "1": 3, "2": 4})
    data = load(describe(tmp_path, images="p", classes=["c", "a", "b"], test_share=0.01))
    assert data.texts.class_names == ("c", "a", "b")
    assert data.counts.tolist() == [1, 2, 3]
    unnamed = load(describe(tmp_path, images="p"))
    assert any("class names are numbers" in note for note in unnamed.notes)


def test_descriptions_from_a_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, bird, *_ = write_wordnet(tmp_path / "wn/dict")
    tree(tmp_path / "p", {bird: 2, "puffer": 2, "unheard_of": 2})
    classes = {bird: "crane", "puffer": None, "unheard_of": None}
    typed = describe(tmp_path, images="p", classes=classes, descriptions="wordnet")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WNHOME", str(tmp_path / "wn"))
    data = load(typed)
    assert data.texts.descriptions == (
        "large long-necked wading bird",
        "a fish that inflates",
        "unheard of",
    )
    assert data.notes[0] == "descriptions are glosses of WordNet 3.0"


# ---- draws ---------------------------------------------------------------------------------------


def test_the_test_draw(tmp_path: Path) -> None:
    counts = {"a": 1, "b": 2, "c": 3, "d": 40}
    tree(tmp_path / "p", counts)
    typed = describe(tmp_path, images="p", test_share=0.25)
    data = load(typed)
    tested = Counter(data.test.labels.tolist())
    assert [tested[c] for c in range(4)] == [0, 1, 1, 10]
    assert not set(data.train.ids) & set(data.test.ids)
    assert len(data.train) + len(data.test) == sum(counts.values())
    assert load(typed).test.ids == data.test.ids
    other = load(typed, split_seed=1)
    assert other.test.ids != data.test.ids
    assert other.counts.tolist() == data.counts.tolist()
    assert family(typed).notes() == ("test images: 25 % of each class, drawn by the split seed",)
    assert load(typed, test_share=0.5).counts.tolist() == [1, 1, 1, 20]


def test_a_test_draw_moves_few_images_when_some_are_added(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"a": 100, "b": 100})
    typed = describe(tmp_path, images="p")
    before = set(load(typed).test.ids)
    image(tmp_path / "p" / "a" / "new.png")
    assert len(before & set(load(typed).test.ids)) >= 39


def test_test_images_are_drawn_from_train_only_on_request(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/a": 10, "train/b": 10, "val/a": 2, "val/b": 2})
    typed = describe(tmp_path, images="p")
    with pytest.raises(DataError, match="for train and val, but none for testing"):
        load(typed)
    data = load(typed, test_share=0.2)
    assert {sid.split("/")[0] for sid in data.test.ids} == {"train"}
    assert data.counts.tolist() == [8, 8]
    assert data.validation is not None
    assert len(data.validation()) == 4


@pytest.mark.parametrize("profile", ["exp", "step"])
def test_a_balanced_set_is_made_long_tailed(profile: str, tmp_path: Path) -> None:
    tree(tmp_path / "p", {f"train/{c}": 30 for c in "abcd"} | {f"test/{c}": 2 for c in "abcd"})
    typed = describe(tmp_path, images="p", imbalance=10, profile=profile)
    data = load(typed)
    expected = long_tail.class_counts(30, 4, 10, profile)
    assert data.counts.tolist() == expected.tolist()
    assert data.recipe == "as given, cao2019/name-order"
    # The same draw again: NumPy's legacy generator shuffles the classes one after another.
    ids = sorted(f"train/{c}/{i}.png" for c in "abcd" for i in range(30))
    random, wanted, spare = np.random.RandomState(0), set(), set()
    for c, count in zip("abcd", expected, strict=True):
        mine = np.array([i for i, sid in enumerate(ids) if sid.startswith(f"train/{c}/")])
        random.shuffle(mine)
        wanted |= {ids[i] for i in mine[:count]}
        spare |= {ids[i] for i in mine[count : count + 20]}
    assert set(data.train.ids) == wanted
    assert data.validation is not None
    assert set(data.validation().ids) == spare
    assert set(load(typed, split_seed=1).train.ids) != wanted
    assert load(typed, imbalance=None, profile="exp").counts.tolist() == [30] * 4
    assert load(typed, n_max=20).counts.max() == 20


def test_the_tail_is_as_long_as_the_smallest_class_allows(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/a": 50, "train/b": 9, "train/c": 50, "test/a": 1, "test/b": 1})
    counts = load(describe(tmp_path, images="p", imbalance=4)).counts
    assert counts.tolist() == [19, 9, 4]  # 20 would need 10 of b: int(20 · 4^-½)


# ---- the identity of a record --------------------------------------------------------------------


def test_the_pinned_hash_sees_every_change_and_no_path(tmp_path: Path) -> None:
    seen = {}
    for where in ("here", "there"):
        tree(tmp_path / where / "p", BALANCED)
        seen[where] = family(describe(tmp_path / where, images="p")).pinned()
    assert seen["here"] == seen["there"]
    assert str(tmp_path) not in repr(seen)
    known = [seen["here"]["data"]]
    root = tmp_path / "here"

    def now(**keys: object) -> str:
        return str(family(describe(root, **{"images": "p", **keys})).pinned()["data"])

    known.append(now(classes=["crow", "wren", "jay"]))
    known.append(now(classes={"crow": "raven", "jay": "jay", "wren": "wren"}))
    known.append(now(descriptions={"jay": "blue"}))
    known.append(now(templates=["a {}"]))
    assert now(source="unknown", licence="none") == known[0]
    Image.new("RGB", (99, 99)).save(root / "p" / "jay" / "0.png")
    known.append(now())
    os.rename(root / "p" / "jay" / "1.png", root / "p" / "jay" / "one.png")
    known.append(now())
    os.rename(root / "p" / "jay" / "one.png", root / "p" / "crow" / "one.png")
    known.append(now())
    assert len(set(known)) == len(known)
    os.rename(root / "p", root / "gone")
    assert "data" not in family(describe(root, images="p")).pinned()


def test_the_description_sets_version_and_groups(tmp_path: Path) -> None:
    tree(tmp_path / "p", BALANCED)
    typed = describe(tmp_path, images="p", version=2, groups="thirds", name="my_birds-2.0")
    found = family(typed)
    assert (found.name, found.version, found.default_groups) == ("my_birds-2.0", "2", "thirds")
    assert load(typed).version == "2"


# ---- descriptions that cannot be used ------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"image": "p"}, "Unknown key in .* 'image'. Did you mean: images?"),
        ({}, "not {}|where are the images"),
        ({"task": "singel", "images": "p"}, "task: 'singel' is not one of single, multi"),
        ({"images": [3]}, r"images: '\[3\]' is not text"),
        ({"images": ""}, "images: no path is given"),
        ({"images": {"train": "p", "tst": "p"}}, "'tst'. Did you mean: test"),
        ({"images": {"test": "p"}}, "images: train is missing"),
        ({"images": {"train": "p", "test": "p/a"}}, "its images would be in both train and test"),
        ({"images": "p", "columns": {"path": "f"}}, "columns: needs a table"),
        ({"images": "p", "task": "multi"}, "task multi needs a table"),
        ({"images": "p", "name": "my birds"}, "cannot be called 'my birds'"),
        ({"images": "p", "name": "cifar100_lt"}, "data set of the suite is called 'cifar100_lt'"),
        ({"images": "p", "name": "cifar100_lt_ir50"}, "the suite is called 'cifar100_lt_ir50'"),
        ({"images": "p", "classes": ["a", "a"]}, "'a' is listed twice"),
        ({"images": "p", "classes": ["a", True]}, "YAML reads one of the names as True"),
        ({"images": "p", "classes": ["a"]}, "at least two"),
        ({"images": "p", "classes": ["a", "c"]}, "1 folder not listed: b"),
        ({"images": "p", "templates": ["a {} {}"]}, "needs exactly one {}"),
        ({"images": "p", "templates": "a photo"}, "needs exactly one {}"),
        ({"images": "p", "descriptions": {"a": 3}}, "description of 'a' is not a text"),
        ({"images": "p", "descriptions": "none.json"}, "No such file"),
        ({"images": "p", "descriptions": {"aa": "x"}}, "Unknown class .* 'aa'. Did you mean: a"),
        ({"images": "p", "descriptions": {True: "x"}}, "YAML reads one of the names as True"),
        (
            {"images": "p", "classes": {"a": "x", "b": "y"}, "descriptions": {"a": "s", "x": "t"}},
            "'x' is described twice, by its key and by its name",
        ),
        (
            {"images": "p", "classes": {"a": "x", "b": "x"}, "descriptions": {"x": "t"}},
            "'x' is the name of several classes: write their keys, a, b",
        ),
        ({"images": "p", "groups": "halves"}, "groups: 'halves' is not one of"),
        ({"images": "p", "imbalance": "high"}, "imbalance: 'high' is not a number"),
        ({"images": "p", "imbalance": 0.5}, "field imbalance: 0.5 is less than 1"),
        ({"images": "p", "profile": "step"}, "profile=step needs an imbalance"),
        ({"images": "p", "imbalance": 2, "head_share": 0.3}, "needs profile=step"),
        ({"images": "p", "imbalance": 2, "n_max": 99}, "n_max=99: 2 of 2 classes have too few"),
        ({"images": "p", "test_share": 1.5}, "field test_share: 1.5 is not below 1"),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(
    keys: dict[str, object], line: str, tmp_path: Path
) -> None:
    tree(tmp_path / "p", {"a": 3, "b": 3})
    with pytest.raises(UserError, match=line) as caught:
        load(describe(tmp_path, **keys))
    assert "\n" not in str(caught.value)


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    """YAML parsers silently take the last one."""
    tree(tmp_path / "p", {"a": 3, "b": 3})
    file = tmp_path / "twice.yaml"
    for text, key, line in (
        ("images: q\nimages: p", "images", 2),
        ("images: p\nclasses:\n  a: first\n  b: other\n  a: last", "a", 5),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=rf"'{key}' appears twice \(line {line}\)"):
            load(str(file))
    # A merge is not a repetition.
    file.write_text("images: p\nclasses: {<<: {a: first, b: other}, a: own}")
    assert load(str(file)).texts.class_names == ("own", "other")


def test_paths_that_are_not_a_description(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*none\.yaml: No such file"):
        registry.resolve(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match=r"a path on disk.*own_data\.md"):
        registry.resolve(str(tmp_path))
    with pytest.raises(UserError, match="needs an imbalance"):
        tree(tmp_path / "p", {"a": 3, "b": 3})
        family(describe(tmp_path, images="p"), n_max=3)
