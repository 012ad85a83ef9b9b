"""Messages about missing or damaged CIFAR files."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.datasets.families.cifar import Cifar10LT, Cifar100LT
from benchmarks.datasets.files.cifar_files import CIFAR10
from benchmarks.errors import DataMissing, UserError
from tests.benchmarks.datasets.cifar.small import load, one_line, pack

pytestmark = pytest.mark.usefixtures("cache")


def test_missing_data_message_says_what_to_do(tmp_path: Path) -> None:
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


def test_the_tree_of_another_data_set_is_not_mistaken_for_cifar(tmp_path: Path) -> None:
    (tmp_path / "train" / "n01440764").mkdir(parents=True)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataMissing):
        Cifar10LT().load(tmp_path, 0)


def test_missing_class_folder(damaged: Path) -> None:
    shutil.rmtree(damaged / "cifar10/train/frog")
    with pytest.raises(UserError, match=r"train: no images of class 'frog'") as error:
        load(damaged)
    assert str(damaged) in one_line(error)


def test_what_a_folder_holds_instead_is_named(damaged: Path) -> None:
    frogs = damaged / "cifar10/train/frog"
    for file in frogs.iterdir():
        file.rename(file.with_suffix(".tif"))
    with pytest.raises(UserError, match=r"class 'frog': its folder holds 20 \.tif\."):
        load(damaged)
    (damaged / "cifar10/train").rename(damaged / "cifar10/names")
    (damaged / "cifar10/train/0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"'airplane' \(and 9 more\): there are 0\."):
        load(damaged)


def test_lossy_and_lossless_images_together_and_two_copies_of_one(damaged: Path) -> None:
    first, second = sorted((damaged / "cifar10/train/frog").iterdir())[:2]
    with Image.open(first) as image:
        image.save(second.with_suffix(".jpg"))
    second.unlink()
    with pytest.raises(UserError, match=r"some images are lossy .*229 \.png, 1 \.jpg"):
        load(damaged)
    second.with_suffix(".jpg").unlink()
    first.with_suffix(".bmp").write_bytes(first.read_bytes())
    with pytest.raises(UserError, match=rf"train/frog has several files of image '{first.stem}'"):
        load(damaged)


def test_missing_test_split(damaged: Path) -> None:
    shutil.rmtree(damaged / "cifar10/test")
    with pytest.raises(UserError, match=r"test: no images of class 'airplane' \(and 9 more\)"):
        load(damaged)


def test_unknown_class_folder(damaged: Path) -> None:
    shutil.copytree(damaged / "cifar10/train/frog", damaged / "cifar10/train/toad")
    with pytest.raises(UserError, match="'toad' is not a class"):
        load(damaged)


def test_class_with_a_different_number_of_images(damaged: Path) -> None:
    next((damaged / "cifar10/train/ship").iterdir()).unlink()
    with pytest.raises(UserError, match="class 'ship' has 19 images, the other classes have 20"):
        load(damaged)


def test_truncated_image_is_named(damaged: Path, tmp_path: Path) -> None:
    image = sorted((damaged / "cifar10/train/cat").iterdir())[3]
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(UserError, match="unreadable or truncated image") as error:
        load(damaged)
    assert str(image) in one_line(error)
    root = pack(damaged, tmp_path / "packed" / "cifar10.tar.gz", "")
    with pytest.raises(UserError, match="unreadable or truncated image") as error:
        load(root)
    assert f"train/cat/{image.name} in {root / 'cifar10.tar.gz'}" in one_line(error)


def test_image_of_the_wrong_size_is_named(damaged: Path) -> None:
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
    with pytest.raises(UserError, match="class names differ"):
        load(tmp_path)


@pytest.mark.parametrize(
    "fields", [{"recipe": "cao"}, {"group_counts": "mine"}, {"profile": "flat"}]
)
def test_an_invalid_field_is_refused_without_data(fields: dict[str, str], tmp_path: Path) -> None:
    ((name, value),) = fields.items()
    with pytest.raises(UserError, match=f"cifar10_lt, field {name}: '{value}' is not one of"):
        Cifar10LT(**fields).resolve(tmp_path)  # type: ignore[arg-type]


def test_a_share_of_large_classes_needs_the_step_profile(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        Cifar10LT(head_share=0.1).resolve(tmp_path)
    assert one_line(error) == "cifar10_lt.head_share=0.1 needs profile=step or head_tail."
    step = Cifar10LT(profile="step", head_share=0.1).resolve(tmp_path)
    assert (step.counts() == 5000).sum() == 1
