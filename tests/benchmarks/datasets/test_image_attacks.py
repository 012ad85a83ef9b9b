"""Image files that were made to exhaust or mislead their reader."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets.files.image_files import FileImages, decode
from benchmarks.errors import DataError, UserError


def _saved(kind: str, side: int = 8, **options: object) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


JPEG, PNG, GIF = (_saved(kind) for kind in ("JPEG", "PNG", "GIF"))
GIF_HEAD = GIF[: GIF.index(b",")]


def _segments(marker: int, data: bytes, times: int) -> bytes:
    segment = struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
    return JPEG[:2] + segment * times + JPEG[2:]


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(kind: bytes, data: bytes = b"", times: int = 1) -> bytes:
    return PNG[:33] + _chunk(kind, data) * times + PNG[33:]


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header says this size, and whose pixels are those of a small image."""
    head = struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:8] + _chunk(b"IHDR", head) + PNG[33:]


def _tiff_of_tags(tags: int, size: int) -> bytes:
    """A TIFF whose tags each claim to be the whole file."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8)]
    entries += [(40_000 + i, 7, size, 8) for i in range(tags)]
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = struct.pack("<I", 8 + size)
    return b"II*\0" + start + bytes(size) + struct.pack("<H", len(entries)) + listed + bytes(4)


BOMB = zlib.compress(bytes(70_000_000))  # of texts, Pillow reads 64 MB
ATTACKS = {
    "60,000 × 60,000": (_png_of(60_000, 60_000), "million pixels; set LONGTAIL_VLM_MAX_PIXELS"),
    "10,000 × 10,000": (_png_of(10_000, 10_000), "more than 89.5 million pixels"),
    "no width": (_png_of(0, 8), "unreadable"),
    "EXIF segments": (_segments(0xE1, b"Exif\0\0", 20_000), "too many parts"),
    "comments": (_segments(0xFE, b"", 20_000), "too many parts"),
    "padding": (JPEG[:2] + b"\xff" * 100_000 + JPEG[2:], "too many parts"),
    "empty chunks": (_chunks(b"abcd", times=20_000), "too many parts"),
    "text chunks": (_chunks(b"tEXt", b"a\0b", times=20_000), "too many parts"),
    "empty pixels": (PNG[:33] + _chunk(b"IDAT") * 20_000 + PNG[33:], "too many parts"),
    "a text bomb": (_chunks(b"zTXt", b"a\0\0" + BOMB), "unreadable"),
    "another text bomb": (_chunks(b"iTXt", b"a\0\1\0\0\0" + BOMB), "unreadable"),
    "a profile bomb": (_chunks(b"iCCP", b"a\0\0" + BOMB), "unreadable"),
    "GIF comments": (GIF_HEAD + b"\x21\xfe\x01x\0" * 20_000 + GIF[len(GIF_HEAD) :], "many parts"),
    "GIF blocks": (GIF_HEAD + b"\x21\xfe" + b"\x01x" * 20_000 + b"\0", "too many parts"),
    "PPM comments": (b"P6\n" + b"#\n" * 20_000 + b"1 1\n255\nabc", "too many parts"),
    "PPM digits": (b"P6\n" + b"1" * 20_000 + b" 1\n255\nabc", "unreadable"),
    "PPM in text": (b"P3\n999 999\n255\n" + b"1 " * 3 * 999**2, "a large image in text"),
    "TIFF tags": (_tiff_of_tags(2_000, 10_000), "unreadable|too many parts"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "it is an SVG drawing"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "unreadable"),
    "PDF": (b"%PDF-1.4\n1 0 obj\n", "it is a PDF file"),
    "nothing": (b"", "the file is empty"),
    "a cut PNG": (PNG[:-40], "unreadable or truncated"),
    "a cut JPEG": (JPEG[:-40], "unreadable or truncated"),
}


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("case", ATTACKS)
def test_an_image_that_attacks_is_one_line(tmp_path: Path, case: str, upright: bool) -> None:
    data, says = ATTACKS[case]
    file = tmp_path / "evil.jpg"
    file.write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        decode(file, upright=upright)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_a_progressive_jpeg_of_thousands_of_scans(tmp_path: Path) -> None:
    """Each scan has some bytes and is a pass over all pixels."""
    out = io.BytesIO()
    Image.new("L", (2_000, 1_000)).save(out, "JPEG", progressive=True)
    plain = out.getvalue()
    last = plain[plain.rindex(b"\xff\xda") : -2]
    file = tmp_path / "scans.jpg"
    file.write_bytes(plain[:-2] + last * 1_000 + plain[-2:])
    with pytest.raises(DataError, match=r"a JPEG with 1,0\d\d scans"):
        decode(file)
    file.write_bytes(plain)
    assert decode(file).shape == (1_000, 2_000, 3)


def test_formats_that_start_a_program_are_not_tried(tmp_path: Path) -> None:
    """Pillow would run Ghostscript on it."""
    file = tmp_path / "picture.jpg"
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "EPS")
    file.write_bytes(out.getvalue())
    with Image.open(file) as image:
        assert image.format == "EPS"
    with pytest.raises(DataError, match="unreadable"):
        decode(file)


def test_the_limit_of_pixels_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(_saved("PNG", 100))
    assert decode(file).shape == (100, 100, 3)
    monkeypatch.setenv("LONGTAIL_VLM_MAX_PIXELS", "9_999")
    with pytest.raises(DataError, match=r"more than 0.0 million pixels"):
        decode(file)
    file.write_bytes(_png_of(20_000, 10_000))  # Pillow's own limit is 179 million
    monkeypatch.setenv("LONGTAIL_VLM_MAX_PIXELS", "300000000")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    with pytest.raises(DataError, match="unreadable or truncated"):  # it has other pixels
        decode(file)
    for wrong in ("many", "-1", "1e9", "9" * 20):
        monkeypatch.setenv("LONGTAIL_VLM_MAX_PIXELS", wrong)
        with pytest.raises(UserError, match="write a number of pixels"):
            decode(file)


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.bmp"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match=r"1,099,512 MB, more than the 268 MB"):
        decode(file)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_does_not_block(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(DataError) as caught:
        FileImages(tmp_path, ("x.jpg",)).read(0)
    assert str(path) in str(caught.value)


ORIENTATIONS = {
    "a loop": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\0",
    "a large number": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\4\0\0\0\1\xff\xff\xff\xff\0\0\0\0",
    "a text": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\3ab\0\0\0\0\0\0",
    "nothing": b"Exif\0\0",
    "garbage": b"Exif\0\0MM\0*\xff\xff\xff\xff",
}


@pytest.mark.parametrize("case", ORIENTATIONS)
def test_an_orientation_that_is_none_is_ignored(tmp_path: Path, case: str) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(_segments(0xE1, ORIENTATIONS[case], 1))
    (tmp_path / "b.jpg").write_bytes(JPEG)
    assert (decode(file, upright=True) == decode(tmp_path / "b.jpg")).all()


def test_only_the_first_frame_of_many_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.gif"
    file.write_bytes(GIF[:-1] + GIF[len(GIF_HEAD) : -1] * 5_000 + b";")
    assert decode(file).shape == (8, 8, 3)
