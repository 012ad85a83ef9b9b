"""CIFAR-LT from every form on disk, and what is said when a form is damaged."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets import _class_folders, recipes
from benchmarks.datasets._cifar_files import CIFAR10, CIFAR100
from benchmarks.datasets._texts import assemble
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.cifar import Cifar10LT, Cifar100LT
from benchmarks.errors import DataMissing, UserError
from benchmarks.protocol import GROUPS, group_of
from benchmarks.text import read_package

TRAIN, TEST = 20, 3
CLASSES = CIFAR10.classes

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def pickles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with CIFAR-10 in its official form, but 20 and 3 images a class."""
    root = tmp_path_factory.mktemp("pickles")
    folder = root / CIFAR10.folder
    folder.mkdir()
    random = np.random.default_rng(0)

    def batch(name: str, labels: list[int], start: int) -> None:
        entry = {
            "data": random.integers(0, 256, (len(labels), 3072), dtype=np.uint8),
            "labels": labels,
            "filenames": [
                f"x_s_{(i * 37) % 1000:06d}.png" for i in range(start, start + len(labels))
            ],
        }
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))

    order = random.permutation(np.repeat(np.arange(10), TRAIN)).tolist()
    for i, name in enumerate(CIFAR10.train):
        batch(name, order[i * 40 : (i + 1) * 40], i * 40)
    batch(CIFAR10.test, random.permutation(np.repeat(np.arange(10), TEST)).tolist(), 300)
    (folder / CIFAR10.meta).write_bytes(pickle.dumps({"label_names": list(CLASSES)}, protocol=2))
    return root


@pytest.fixture(scope="module")
def tree(pickles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images under the same names as class folders."""
    root = tmp_path_factory.mktemp("tree")
    for split, names in (("train", CIFAR10.train), ("test", (CIFAR10.test,))):
        for name in names:
            entry = pickle.loads((pickles / CIFAR10.folder / name).read_bytes())
            for data, label, file in zip(
                *(entry[k] for k in ("data", "labels", "filenames")), strict=True
            ):
                path = root / "cifar10" / split / CLASSES[label] / file
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(data.reshape(3, 32, 32).transpose(1, 2, 0)).save(path)
    return root


@pytest.fixture
def damaged(tree: Path, tmp_path: Path) -> Path:
    """A copy of the tree to damage."""
    shutil.copytree(tree, tmp_path / "data")
    return tmp_path / "data"


def load(root: Path, **fields: object) -> DataSet:
    return Cifar10LT(imbalance=10, **fields).load(root, split_seed=0)  # type: ignore[arg-type]


def pack(tree: Path, archive: Path, prefix: str) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for split in ("test", "train"):
            tar.add(tree / "cifar10" / split, f"{prefix}{split}")
    return archive.parent


def content(dataset: DataSet) -> dict[str, bytes]:
    return {
        sid: split.images.read(i).tobytes()
        for split in (dataset.train, dataset.test)
        for i, sid in enumerate(split.ids)
    }


# ---- forms ---------------------------------------------------------------------------------------


def test_pickles_give_the_published_draw(pickles: Path) -> None:
    dataset = load(pickles)
    assert dataset.recipe == "cao2019"
    expected = recipes.class_counts(TRAIN, 10, 10)
    assert dataset.counts.tolist() == expected.tolist()
    assert len(dataset.test) == 10 * TEST
    entries = [pickle.loads((pickles / CIFAR10.folder / n).read_bytes()) for n in CIFAR10.train]
    labels = np.concatenate([e["labels"] for e in entries])
    files = [f for e in entries for f in e["filenames"]]
    drawn, _ = recipes.draw(labels, expected, 0)
    assert dataset.train.ids == tuple(f"train/{CLASSES[labels[i]]}/{files[i]}" for i in drawn)
    pixels = np.concatenate([e["data"] for e in entries])[drawn[0]]
    assert (dataset.train.images.read(0) == pixels.reshape(3, 32, 32).transpose(1, 2, 0)).all()


def test_official_archive_is_the_same_data_set(pickles: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / CIFAR10.archive, "w:gz") as tar:
        tar.add(pickles / CIFAR10.folder, CIFAR10.folder)
    assert load(tmp_path).train.ids == load(pickles).train.ids
    assert content(load(tmp_path)) == content(load(pickles))


def test_tree_draws_by_name_and_says_so(pickles: Path, tree: Path) -> None:
    by_name, official = load(tree), load(pickles)
    assert by_name.recipe == "cao2019/name-order"
    assert by_name.split_hash != official.split_hash


def test_name_order_is_one_split_whatever_the_form(
    pickles: Path, tree: Path, tmp_path: Path
) -> None:
    expected = load(pickles, recipe="cao2019/name-order")
    roots = [
        tree,
        tree / "cifar10",
        pack(tree, tmp_path / "cifar10.tar.gz", ""),
        pack(tree, _folder(tmp_path / "b") / "cifar10_folders.tar.gz", "cifar10/"),
        pack(tree, _folder(tmp_path / "c") / "cifar10.tar.gz", "./"),
    ]
    for root in roots:
        dataset = load(root)
        assert dataset.split_hash == expected.split_hash
        assert dataset.train.ids == expected.train.ids
        assert content(dataset) == content(expected)


def test_another_split_seed_is_another_split(pickles: Path) -> None:
    hashes = {Cifar10LT().load(pickles, seed).split_hash for seed in (0, 1)}
    assert len(hashes) == 2


def test_resolve_pins_the_recipe(pickles: Path, tree: Path, tmp_path: Path) -> None:
    assert Cifar10LT().resolve(pickles).recipe == "cao2019"
    assert Cifar10LT().resolve(tree).recipe == "cao2019/name-order"
    assert Cifar10LT().resolve(tmp_path / "nowhere").recipe == "cao2019"
    assert repr(Cifar10LT(imbalance=50).resolve(tmp_path)) == repr(
        Cifar10LT(imbalance=50.0).resolve(tmp_path)
    )


def test_official_order_is_not_faked_from_a_tree(tree: Path) -> None:
    with pytest.raises(DataMissing, match="needs the official pickles"):
        load(tree, recipe="cao2019")


def test_a_smaller_collection_is_another_version(
    pickles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(pickles).version == "1-reduced-20-3"
    assert "not comparable" in caplog.text


def test_group_counts_of_ratio_100(pickles: Path) -> None:
    assert load(pickles).group_counts is None
    dataset = load(pickles, group_counts="ir100")
    assert dataset.group_counts is not None
    assert dataset.group_counts.tolist() == recipes.class_counts(TRAIN, 10, 100).tolist()


def test_validation_takes_what_was_not_drawn(pickles: Path) -> None:
    dataset = load(pickles)
    assert dataset.validation is not None
    validation = dataset.validation()
    used = set(dataset.train.ids) | set(dataset.test.ids)
    assert not used & set(validation.ids)
    left = TRAIN - dataset.counts
    assert np.bincount(validation.labels, minlength=10).tolist() == np.minimum(left, 20).tolist()
    assert "9 of 10 classes" in dataset.validation_source
    assert load(pickles).validation().ids == validation.ids  # type: ignore[misc]


def test_validation_leaves_out_copies_of_test_images(damaged: Path) -> None:
    before = load(damaged).validation().ids  # type: ignore[misc]
    copied = before[0]
    test_image = next((damaged / "cifar10/test").rglob("*.png"))
    shutil.copy(test_image, damaged / "cifar10" / copied)
    assert load(damaged).validation().ids == before[1:]  # type: ignore[misc]


def test_a_balanced_set_leaves_nothing_to_validate_on(pickles: Path) -> None:
    dataset = Cifar10LT(imbalance=1).load(pickles, 0)
    assert dataset.validation is None
    assert not dataset.validation_source


# ---- what is missing or damaged ------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_missing_data_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as error:
        Cifar100LT().load(tmp_path, 0)
    text = one_line(error)
    for part in (
        "CIFAR-100",
        f"run_benchmarks.py download cifar100_lt --data-root {tmp_path}",
        "cifar-100-python.tar.gz",
        "--datasets glyphs100_lt --backbone glyph",
    ):
        assert part in text


def test_another_data_sets_tree_is_not_taken_for_cifar(tmp_path: Path) -> None:
    (tmp_path / "train" / "n01440764").mkdir(parents=True)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataMissing):
        Cifar10LT().load(tmp_path, 0)


def test_missing_class_folder(damaged: Path) -> None:
    shutil.rmtree(damaged / "cifar10/train/frog")
    with pytest.raises(UserError, match=r"train: no images of class 'frog'") as error:
        load(damaged)
    assert str(damaged) in one_line(error)


def test_missing_test_split(damaged: Path) -> None:
    shutil.rmtree(damaged / "cifar10/test")
    with pytest.raises(UserError, match=r"test: no images of class 'airplane' \(and 9 more\)"):
        load(damaged)


def test_unknown_class_folder(damaged: Path) -> None:
    shutil.copytree(damaged / "cifar10/train/frog", damaged / "cifar10/train/toad")
    with pytest.raises(UserError, match="'toad' is no class"):
        load(damaged)


def test_class_with_another_number_of_images(damaged: Path) -> None:
    next((damaged / "cifar10/train/ship").iterdir()).unlink()
    with pytest.raises(UserError, match="class 'ship' has 19 images, the other classes have 20"):
        load(damaged)


def test_truncated_image_is_named(damaged: Path, tmp_path: Path) -> None:
    image = sorted((damaged / "cifar10/train/cat").iterdir())[3]
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(UserError, match="unreadable or truncated image") as error:
        load(damaged)
    assert str(image) in one_line(error)
    root = pack(damaged, _folder(tmp_path / "packed") / "cifar10.tar.gz", "")
    with pytest.raises(UserError, match="unreadable or truncated image") as error:
        load(root)
    assert f"train/cat/{image.name} in {root / 'cifar10.tar.gz'}" in one_line(error)


def test_image_of_another_size_is_named(damaged: Path) -> None:
    image = next((damaged / "cifar10/test/dog").iterdir())
    Image.new("RGB", (64, 48)).save(image)
    with pytest.raises(UserError, match=f"{image.name}: the image is 64×48, expected 32×32"):
        load(damaged)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
@pytest.mark.parametrize("form", ["tree", "pickles"])
def test_truncated_archive_is_named(
    form: str, keep: float, tree: Path, pickles: Path, tmp_path: Path
) -> None:
    if form == "tree":
        archive = pack(tree, tmp_path / "cifar10.tar.gz", "") / "cifar10.tar.gz"
    else:
        archive = tmp_path / CIFAR10.archive
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(pickles / CIFAR10.folder, CIFAR10.folder)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(UserError, match="truncated or damaged archive") as error:
        load(tmp_path)
    assert str(archive) in one_line(error)


def test_truncated_or_missing_pickle_is_named(pickles: Path, tmp_path: Path) -> None:
    shutil.copytree(pickles, tmp_path, dirs_exist_ok=True)
    batch = tmp_path / CIFAR10.folder / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated or not an official CIFAR pickle") as error:
        load(tmp_path)
    assert str(batch) in one_line(error)
    batch.unlink()
    with pytest.raises(UserError, match="'data_batch_3' is missing"):
        load(tmp_path)


def test_a_pickle_cannot_run_code(pickles: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path}/owned",)

    shutil.copytree(pickles, tmp_path, dirs_exist_ok=True)
    (tmp_path / CIFAR10.folder / CIFAR10.meta).write_bytes(pickle.dumps(Attack()))
    with pytest.raises(UserError, match="refers to"):
        load(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_pickles_of_other_classes_are_refused(pickles: Path, tmp_path: Path) -> None:
    shutil.copytree(pickles, tmp_path, dirs_exist_ok=True)
    names = {"label_names": ["a"] * 10}
    (tmp_path / CIFAR10.folder / CIFAR10.meta).write_bytes(pickle.dumps(names))
    with pytest.raises(UserError, match="other class names"):
        load(tmp_path)


@pytest.mark.parametrize(
    "fields", [{"recipe": "cao"}, {"group_counts": "mine"}, {"profile": "flat"}]
)
def test_unknown_option_is_refused_before_any_data(fields: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known are"):
        Cifar10LT(**fields).resolve(tmp_path)  # type: ignore[arg-type]


def test_a_share_of_large_classes_needs_the_step_profile(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        Cifar10LT(head_share=0.1).resolve(tmp_path)
    assert one_line(error) == "cifar10_lt.head_share=0.1 needs profile=step."
    step = Cifar10LT(profile="step", head_share=0.1).resolve(tmp_path)
    assert (step.counts() == 5000).sum() == 1


# ---- cache and download --------------------------------------------------------------------------


def test_images_are_decoded_once(tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = content(load(tree))
    with monkeypatch.context() as patch:
        patch.setattr(_class_folders, "_decode", _must_not_run)
        assert content(load(tree)) == first
    for file in cache.rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:64])
    assert content(load(tree)) == first, "a damaged entry is made anew"
    assert not [p for p in (cache / "cifar").iterdir() if p.name.startswith(".")]


def test_a_changed_tree_is_read_anew(damaged: Path) -> None:
    before = content(load(damaged))
    image = damaged / "cifar10" / load(damaged).train.ids[0]
    Image.new("RGB", (32, 32)).save(image)
    assert content(load(damaged)) != before


def test_works_without_a_writable_cache(tree: Path, cache: Path) -> None:
    cache.write_text("a file where the cache folder should be")
    assert len(load(tree).test) == 10 * TEST


def test_failed_download_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="could not be downloaded") as error:
        Cifar100LT().download(tmp_path / "data")
    assert "cifar-100-python.tar.gz" in one_line(error)
    assert not (tmp_path / "data").exists()


def test_download_is_not_repeated(pickles: Path) -> None:
    assert "already" in Cifar10LT().download(pickles)


def test_download_puts_the_official_folder_in_place(
    pickles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publisher(root: str, download: bool) -> None:
        assert download
        shutil.copytree(pickles / CIFAR10.folder, Path(root) / CIFAR10.folder)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", publisher)
    assert CIFAR10.folder in Cifar10LT().download(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == [CIFAR10.folder]
    assert load(tmp_path).recipe == "cao2019"


def test_classes_without_images_are_said(tree: Path) -> None:
    dataset = Cifar10LT(imbalance=1000).load(tree, split_seed=0)
    empty = int((dataset.counts == 0).sum())
    assert empty > 0
    names = dataset.texts.class_names[-empty:]
    assert dataset.gaps[0].startswith(f"{empty} of 10 classes have no training images: {names[0]}")
    assert not load(tree).gaps


def test_a_smaller_tree_is_another_cell(tree: Path) -> None:
    found = Cifar10LT().resolve(tree)
    assert found.collection == "20-3"
    assert found.pinned()["collection"] == "20-3"
    nothing = Cifar10LT().resolve(tree / "nowhere")
    assert nothing.pinned() == {k: v for k, v in found.pinned().items() if k != "collection"} | {
        "recipe": "cao2019"
    }


# ---- texts and card ------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "size"), [(CIFAR10, 10), (CIFAR100, 100)])
def test_texts_are_complete(layout: type, size: int) -> None:
    package = read_package(layout.key)  # type: ignore[attr-defined]
    texts, notes = assemble(package.names, package.templates, package.descriptions)
    assert not notes
    assert len(set(texts.class_names)) == size
    assert list(texts.class_names) == sorted(texts.class_names)
    assert len(set(texts.templates)) == 18
    assert all(t.count("{}") == 1 for t in texts.templates)
    assert texts.descriptions is not None
    assert len(set(texts.descriptions)) == size
    for name, description in zip(texts.class_names, texts.descriptions, strict=True):
        assert description.endswith(".")
        assert name not in description.lower().replace(",", "").split()


def test_card_counts_for_its_own_ratio() -> None:
    card = Cifar100LT(imbalance=50).card()
    assert card["training images"].startswith("12,608")
    assert "41 / 41 / 18" in card["groups"]
    assert "35 / 35 / 30" in Cifar100LT(imbalance=50, group_counts="ir100").card()["groups"]
    assert "100 descriptions; text hash 8bc65443aa0159a2" in card["texts"]
    assert card["class names"].startswith("apple, aquarium fish, baby, ")
    assert card["class names"].endswith(", and 94 more")
    assert card["templates"].startswith("a photo of a {}.; a blurry photo of a {}.; and 16 more")


# ---- the real images -----------------------------------------------------------------------------


@pytest.mark.slow
def test_real_cifar100(shared: Path) -> None:
    dataset = Cifar100LT().load(shared / "data", split_seed=0)
    assert dataset.version == "1"
    assert (len(dataset.train), len(dataset.test)) == (10_847, 10_000)
    membership = group_of(dataset.counts, "lift")
    assert [int((membership == g).sum()) for g in GROUPS] == [35, 35, 30]
    assert (np.bincount(dataset.test.labels) == 100).all()
    ids = dataset.train.ids + dataset.test.ids
    assert len(set(ids)) == len(ids)
    assert dataset.validation is not None
    assert len(dataset.validation()) == 99 * 20
    with tarfile.open(shared / "data" / "cifar100_folders.tar.gz", "r|gz") as tar:
        member = next(m for m in tar if m.name in set(ids))
        stream = tar.extractfile(member)
        assert stream is not None
        pixels = np.asarray(Image.open(io.BytesIO(stream.read())))
    split = dataset.train if member.name in set(dataset.train.ids) else dataset.test
    assert (split.images.read(split.ids.index(member.name)) == pixels).all()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _must_not_run(*_: object) -> None:
    raise AssertionError("decoded although the cache has it")
