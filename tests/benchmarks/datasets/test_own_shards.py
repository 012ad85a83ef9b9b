"""A user's own images in WebDataset's tar archives."""

from __future__ import annotations

import gzip
import json
import pickle
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.files.tar_members import members
from benchmarks.datasets.same_files import same_files
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.input_files import opened
from tests.benchmarks.datasets.own_files import describe, family, load
from tests.benchmarks.datasets.tar_files import encoded, flowers, shard

BOTH = "flowers-{000..001}.tar"


# ---- what is read --------------------------------------------------------------------------------


def test_images_and_labels_come_from_the_archives(tmp_path: Path) -> None:
    flowers(tmp_path)
    data = load(describe(tmp_path, shards=BOTH, classes=["daisy", "rose"]))
    assert data.texts.class_names == ("daisy", "rose")
    assert data.recipe == "test drawn"
    assert data.counts.tolist() == [4, 4]
    names = {f"flowers-{n // 5:03}/{n:03}.png" for n in range(10)}
    assert {*data.train.ids, *data.test.ids} == names
    for split in (data.train, data.test):
        for i, sid in enumerate(split.ids):
            number = int(Path(sid).stem)
            assert split.labels[i] == number % 2
            pixels = split.images.read(i)
            assert pixels.shape == (4, 6, 3) and (pixels == 10 * number).all()
            cut = split.images.crop(i, lambda h, w: (0, 0, h, w), 2)  # type: ignore[attr-defined]
            assert cut.shape == (2, 2, 3) and (cut == 10 * number).all()


def test_shards_of_splits_captions_and_json(tmp_path: Path) -> None:
    def sample(n: int, split: str) -> dict[str, bytes | str]:
        said = json.dumps({"label": ["tulip", "rose"][n % 2], "caption": f"{split} {n}"})
        return {f"a/{n}.png": encoded(n), f"a/{n}.json": said, f"a/{n}.txt": "not this"}

    for split, number in (("train", 4), ("test", 2), ("val", 2)):
        parts = [sample(n, split) for n in range(number)]
        shard(tmp_path / f"{split}.tar", {k: v for part in parts for k, v in part.items()})
    places = {"train": "train.tar", "val": "val.tar", "test": ["test.tar"]}
    data = load(describe(tmp_path, shards=places, columns={"caption": "json.caption"}))
    assert data.texts.class_names == ("rose", "tulip")
    assert data.train.ids == tuple(f"train/train/a/{n}.png" for n in range(4))
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.train.captions == tuple(f"train {n}" for n in range(4))
    assert data.test.ids == ("test/test/a/0.png", "test/test/a/1.png")
    assert data.validation is not None and len(data.validation()) == 2
    assert "8 members with the ending '.txt'" in data.notes[0]


def test_named_parts_and_several_labels(tmp_path: Path) -> None:
    samples: dict[str, bytes | str] = {"README.md": "x", "._0.png": "x"}
    for n in range(6):
        samples[f"{n}.left.PNG"] = encoded(n)
        samples[f"{n}.right.png"] = encoded(100 + n)
        samples[f"{n}.json"] = json.dumps({"seen": [["cat"], ["dog"], ["cat", "dog"]][n % 3]})
    shard(tmp_path / "s.tar", samples)
    columns = {"image": "right.png", "labels": "json.seen"}
    data = load(describe(tmp_path, shards="s.tar", task="multi", columns=columns))
    assert data.texts.class_names == ("cat", "dog")
    for split in (data.train, data.test):
        for i, sid in enumerate(split.ids):
            n = int(sid.removeprefix("s/").partition(".")[0])
            assert split.labels[i].tolist() == [[1, 0], [0, 1], [1, 1]][n % 3]
            assert split.images.read(i)[0, 0, 0] == 100 + n
    assert "1 member with the ending '.md'" in data.notes[0]


def test_a_star_takes_the_shards_there_are(tmp_path: Path) -> None:
    flowers(tmp_path)
    (tmp_path / "other.tar").write_bytes(b"x")
    braces = load(describe(tmp_path, shards=BOTH))
    star = load(describe(tmp_path, "star", shards="flowers-*.tar"))
    assert star.split_hash == braces.split_hash
    assert any("class names are numbers" in note for note in braces.notes)


def test_what_identifies_the_data(tmp_path: Path) -> None:
    flowers(tmp_path)
    typed = describe(tmp_path, shards=BOTH)
    before, stored = family(typed).pinned()["data"], load(typed).train.images.digest()
    sent = pickle.loads(pickle.dumps(family(typed)))
    assert sent.pinned()["data"] == before
    moved = tmp_path / "moved"
    flowers(moved)
    assert family(describe(moved, shards=BOTH)).pinned()["data"] == before
    samples: dict[str, bytes | str] = {"000.png": encoded(0, "PNG") + b"\0", "000.cls": "0"}
    shard(tmp_path / "flowers-000.tar", samples | {"001.png": encoded(1), "001.cls": "1"})
    assert family(typed).pinned()["data"] != before
    assert load(typed).train.images.digest() != stored


def test_copies_in_two_splits_are_found(tmp_path: Path) -> None:
    train = {"0.png": encoded(7), "0.cls": "0", "1.png": encoded(8), "1.cls": "1"}
    shard(tmp_path / "train.tar", train)
    shard(
        tmp_path / "test.tar",
        {"5.png": encoded(9), "5.cls": "0", "6.png": encoded(8), "6.cls": "1"},
    )
    data = load(describe(tmp_path, shards={"train": "train.tar", "test": "test.tar"}))
    assert same_files(data.train.images, data.test.images) == [(1, 1)]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"5.png": encoded(5)}, r"s.tar: there is no label \(.cls or .json\), but .png"),
        ({"5.cls": "1"}, r"s.tar: there is no image \(.jpg or the like\), but .cls"),
        ({"5.png": b"", "5.cls": "1"}, "sample 5 of s.tar: the image .png is empty"),
        ({"5.png": encoded(5), "5.jpg": b"x", "5.cls": "1"}, r"images, .png and .jpg: write `col"),
        ({"5.png": encoded(5), "5.cls": " "}, "s.tar: there is no label"),
        ({"5.png": encoded(5), "5.cls": b"\xff"}, "the .cls is not text in UTF-8"),
        ({"5.png": encoded(5), "5.cls": "x" * 400}, r"the label 'x+ … x+' has 400 characters"),
        ({"5.png": encoded(5), "5.cls": "1" * 2_000_001}, "the .cls has 2 MB, more than the 1 MB"),
        ({"5.png": encoded(5), "5.json": "{"}, "the .json is not valid JSON"),
        ({"5.png": encoded(5), "5.json": '{"a": 1}'}, "has no 'label', but a: write `columns"),
        ({"5.png": encoded(5), "5.json": '{"label": {}}'}, "'label' in the .json is a mapping"),
        ({"5.png": encoded(5), "5.json": '{"label": [1]}'}, "needs `task: multi`"),
        ({"5.png": encoded(5), "5.cls": "7"}, "label 7 is out of range, there are 2 classes"),
    ],
)  # fmt: skip
def test_samples_that_cannot_be_used(
    tmp_path: Path, change: dict[str, bytes | str], says: str
) -> None:
    good = {"0.png": encoded(0), "0.cls": "0", "1.png": encoded(1), "1.cls": "1"}
    shard(tmp_path / "s.tar", good | change)
    with pytest.raises(DataError, match=says) as caught:
        load(describe(tmp_path, shards="s.tar", classes=["a", "b"]))
    assert "\n" not in str(caught.value)


def test_an_image_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path / "s.tar", {"0.png": bytes(30_000_001), "0.cls": "0"})
    monkeypatch.setenv("LONGTAIL_VLM_MAX_PIXELS", "9_000_000")
    with pytest.raises(DataError, match=r"the image \.png has 30 MB, more than the 30 MB allowed"):
        load(describe(tmp_path, shards="s.tar"))


def test_bad_samples_are_counted(tmp_path: Path) -> None:
    shard(tmp_path / "s.tar", {f"{n}.png": encoded(n) for n in range(5)})
    with pytest.raises(DataError, match=r"s.tar: 5 samples cannot be used: .*; and 2 more\."):
        load(describe(tmp_path, shards="s.tar"))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"shards": "f-{00..20}.tar"}, r"21 of 21 shards not found: .*f-00.tar, .*and 18 more"),
        ({"shards": "f-*.tar"}, r"f-\*.tar: no file has such a name"),
        ({"shards": [BOTH, "flowers-000.tar"]}, "several shards are called 'flowers-000'"),
        ({"shards": "f-{5..3}.tar"}, "range of numbers is empty"),
        ({"shards": {"train": "flowers-000.tar", "test": "flowers-000.tar"}}, "is named twice"),
        ({"shards": {"tran": BOTH}}, "Did you mean: train"),
        ({"shards": {"test": BOTH}}, "shards: train is missing"),
        ({"shards": []}, "no file is given"),
        ({"shards": "f-{0..999999999}.tar"}, "more than 100,000 shards"),
        ({"shards": "f-{0..999}-{0..999}.tar"}, "more than 100,000 shards"),
        ({"shards": BOTH, "images": "."}, "shards and images exclude each other"),
        ({"shards": BOTH, "columns": {"path": "x"}}, "Unknown role in .* 'path'"),
        ({"shards": BOTH, "splits": {"train": "x"}}, "splits: is for `huggingface:`"),
    ],
)  # fmt: skip
def test_descriptions_that_cannot_be_used(
    tmp_path: Path, keys: dict[str, object], says: str
) -> None:
    flowers(tmp_path)
    with pytest.raises(UserError, match=says):
        load(describe(tmp_path, **keys))


def test_a_plan_works_without_the_shards(tmp_path: Path) -> None:
    found = family(describe(tmp_path, shards=BOTH))
    assert found.sizes() is None and "data" not in found.pinned()
    with pytest.raises(DataMissing, match="2 of 2 shards not found"):
        found.load(tmp_path, 0)


def member(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (member("5.png", tarfile.SYMTYPE, linkname="/etc/passwd"), "'5.png' is a link"),
        (member("5.png", tarfile.LNKTYPE, linkname="0.png"), "'5.png' is a link"),
        (member("5.png", tarfile.CHRTYPE), "'5.png' is not a regular file"),
        (member("5.png", tarfile.FIFOTYPE), "'5.png' is not a regular file"),
        (member("../5.png"), r"'\.\./5.png' leads out of the archive"),
        (member("/5.png"), "'/5.png' leads out of the archive"),
        (member("a/../../5.png"), "leads out of the archive"),
        (member("5\x1b[2J.png"), "contains the control character U\\+001B"),
        (member("5.png", pax_headers={"GNU.sparse.map": "0,1"}), "not a regular file"),
    ],
)
def test_members_that_are_refused(tmp_path: Path, info: tarfile.TarInfo, says: str) -> None:
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    with pytest.raises(DataError, match=says):
        list(members(tmp_path / "s.tar"))


def truncated(data: bytes) -> bytes:
    return data[:700]


def without_end(data: bytes) -> bytes:
    return data.rstrip(b"\0") + b"\0" * (-len(data.rstrip(b"\0")) % 512)


def overwritten(data: bytes) -> bytes:
    start = data.index(b"1.png")
    return data[:start] + b"\xff" * 200 + data[start + 200 :]


def negative(data: bytes) -> bytes:
    """The first member's size is -1,024, by which a reader that believes it goes round for ever."""
    header = bytearray(data[:512])
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def long_header(data: bytes) -> bytes:
    """A name of two megabytes in front."""
    info = tarfile.TarInfo("x" * 2_000_000 + ".png")
    return info.tobuf(tarfile.GNU_FORMAT) + data


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated, "truncated archive"),
        (without_end, "truncated archive, its end is missing"),
        (overwritten, "damaged at byte"),
        (lambda data: data + data, "damaged at byte .* or several archives in one file"),
        (negative, "not a regular file"),
        (long_header, "damaged archive|not a tar archive"),
        (gzip.compress, "compressed; unpack it with `gzip -d`"),
        (lambda data: b"", "not a tar archive"),
        (lambda data: b"a,b\n" * 400, "not a tar archive"),
    ],
)
def test_damaged_archives(tmp_path: Path, damage: Callable[[bytes], bytes], says: str) -> None:
    file = shard(tmp_path / "s.tar", {"0.png": encoded(0), "1.png": encoded(1)})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=says):
        list(members(file))


def test_a_damaged_image_is_named_with_its_archive(tmp_path: Path) -> None:
    samples = {f"{n}.png": encoded(n) for n in range(4)} | {
        f"{n}.cls": str(n % 2) for n in range(4)
    }
    samples["2.png"] = encoded(2)[:40]
    shard(tmp_path / "s.tar", samples)
    data = load(describe(tmp_path, shards="s.tar"))
    images = next(s.images for s in (data.train, data.test) if "s/2.png" in s.ids)
    index = next(s.ids.index("s/2.png") for s in (data.train, data.test) if "s/2.png" in s.ids)
    with pytest.raises(DataError, match=r"s.tar, 2.png: unreadable or truncated image\."):
        images.read(index)
    (tmp_path / "s.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be read \(the archive has become shorter\)"):
        images.read(index)


def test_a_shard_is_opened_once_for_all_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network drive, each opening takes its time."""
    samples = {f"{n}.png": encoded(n) for n in range(4)} | {
        f"{n}.cls": str(n % 2) for n in range(4)
    }
    shard(tmp_path / "s.tar", samples)
    times = Counter[Path]()

    def counting(file: Path, *rest: Any) -> Any:
        times[file] += 1
        return opened(file, *rest)

    monkeypatch.setattr("benchmarks.datasets.files.tar_members.opened", counting)
    load(describe(tmp_path, shards="s.tar"))
    assert times == {tmp_path / "s.tar": 2}  # for the places of its members, and for the labels


def test_a_shard_may_not_be_a_link_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flowers(tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.tar").symlink_to(tmp_path / "elsewhere" / "flowers-000.tar")
    typed = describe(tmp_path / "here", shards="a.tar")
    with pytest.raises(DataError, match=r"is a link to .*LONGTAIL_VLM_LINKS"):
        load(typed)
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(tmp_path / "elsewhere"))
    assert len(load(typed).train.ids) == 3


def test_places_are_those_of_an_independent_reader(tmp_path: Path) -> None:
    flowers(tmp_path)
    with tarfile.open(tmp_path / "flowers-000.tar") as tar:
        expected = {m.name: (m.offset_data, m.size) for m in tar.getmembers()}
    found = {m.name: (m.offset, m.size) for m in members(tmp_path / "flowers-000.tar")}
    assert found == expected
