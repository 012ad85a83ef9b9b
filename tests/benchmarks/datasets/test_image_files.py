"""Image files of every format, compared with pixels known independently of the reader."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from torchvision.datasets.folder import pil_loader

from benchmarks.datasets.files.image_files import FileImages, decode, decode_region, missing_files
from benchmarks.errors import DataError
from benchmarks.loading import in_threads

Array = np.ndarray
RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
WIDE = RANDOM.integers(0, 2**16, (5, 7), dtype=np.uint16)
ALPHA = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)


def thrice(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=2)


def png(depth: int, colour: int, pixels: Array) -> bytes:
    """Encode `pixels` (H, W, channels) as a PNG, because Pillow cannot write 16-bit colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    height, width = pixels.shape[:2]
    big = pixels.astype(">u2" if depth == 16 else "u1")
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def palette(transparency: bytes | int | None = None) -> tuple[Image.Image, Array]:
    """Return a paletted image and its colours."""
    colours = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.frombytes("P", (7, 5), GREY.tobytes())
    image.putpalette(colours.tobytes())
    if transparency is not None:
        image.info["transparency"] = transparency
    return image, colours[GREY]


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


# ---- eight bits: as torchvision's loader reads them ----------------------------------------------


def _cmyk() -> tuple[Image.Image, Array]:
    ink = RANDOM.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    light = (255.0 - ink[..., :3]) * (255.0 - ink[..., 3:]) / 255.0
    return Image.frombytes("CMYK", (7, 5), ink.tobytes()), light


EIGHT_BITS: dict[str, Callable[[], tuple[Image.Image, Array, str]]] = {
    "colour": lambda: (Image.fromarray(RGB), RGB, "a.png"),
    "grey": lambda: (Image.fromarray(GREY), thrice(GREY), "a.png"),
    "black and white": lambda: (
        Image.fromarray(GREY > 99),
        thrice(np.where(GREY > 99, 255, 0)),
        "a.png",
    ),
    "grey with alpha": lambda: (
        Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]),
        thrice(GREY),
        "a.png",
    ),
    "colour with alpha": lambda: (
        Image.fromarray(np.dstack([RGB, ALPHA])),
        RGB,
        "a.png",
    ),
    "palette": lambda: (*palette(), "a.png"),
    "palette with one transparent colour": lambda: (*palette(3), "a.png"),
    "palette with transparencies": lambda: (*palette(ALPHA.tobytes()), "a.png"),
    "cmyk": lambda: (*_cmyk(), "a.tif"),
    "bmp": lambda: (Image.fromarray(RGB), RGB, "A.BMP"),
    "webp": lambda: (Image.fromarray(RGB), RGB, "a.WebP"),
    "one pixel": lambda: (Image.fromarray(RGB[:1, :1]), RGB[:1, :1], "a.png"),
}


@pytest.mark.parametrize("kind", EIGHT_BITS)
def test_eight_bit_images_are_read_unchanged(kind: str, tmp_path: Path) -> None:
    image, expected, name = EIGHT_BITS[kind]()
    path = saved(tmp_path / name, image, **({"lossless": True} if kind == "webp" else {}))
    found = decode(path)
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(float)).max() <= (1 if kind == "cmyk" else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about transparency in bytes
        assert found.tolist() == np.asarray(pil_loader(str(path))).tolist()


def test_a_jpeg_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.JPG", Image.fromarray(RGB))
    assert decode(path).tolist() == np.asarray(pil_loader(str(path))).tolist()
    path = saved(tmp_path / "b.jpg", Image.fromarray(GREY))
    assert decode(path).shape == (5, 7, 3)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_the_first_frame_of_an_animation_is_read(name: str, tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (4, 3), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path / name, first, save_all=True, append_images=[second], **options)
    assert decode(path).tolist() == np.full((3, 4, 3), (255, 0, 0)).tolist()


# ---- sixteen bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_grey_is_scaled_to_eight_bits(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / name, Image.fromarray(WIDE))
    assert decode(path).tolist() == thrice(WIDE // 256).tolist()


def test_big_endian_sixteen_bit_images_are_read_alike(tmp_path: Path) -> None:
    image = Image.frombytes("I;16B", (7, 5), WIDE.astype(">u2").tobytes())
    assert decode(saved(tmp_path / "a.tif", image)).tolist() == thrice(WIDE // 256).tolist()


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_pngs(colour: int, channels: int, tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 2**16, (5, 7, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png(16, colour, pixels))
    eight = pixels // 256
    expected = eight[..., :3] if channels > 2 else thrice(eight[..., 0])
    assert decode(tmp_path / "a.png").tolist() == expected.tolist()


@pytest.mark.parametrize(("largest", "divisor"), [(255, 1), (256, 256), (65535, 256)])
def test_32_bit_integers(largest: int, divisor: int, tmp_path: Path) -> None:
    wide = np.array([[0, 17, largest]], dtype=np.int32)
    found = decode(saved(tmp_path / "a.tif", Image.fromarray(wide)))
    assert found.tolist() == thrice(wide // divisor).tolist()


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.array([[0, 2**16]], dtype=np.int32), "pixel values outside 0 to 65535"),
        (np.array([[-1, 3]], dtype=np.int32), "pixel values outside 0 to 65535"),
        (np.array([[0.5, 1.0]], dtype=np.float32), "floating-point pixels"),
    ],
)
def test_pixels_without_a_standard_range_are_refused(
    pixels: Array, says: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(pixels))
    with pytest.raises(DataError, match=rf"a\.tif: {says}.*; save the image with 8 or 16 bits\."):
        decode(path)


# ---- orientation ---------------------------------------------------------------------------------

UPRIGHT: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}
"""Transform that makes the stored pixels upright, by tag value (EXIF 2.3, tag 0x0112)."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_the_orientation_is_applied_on_request(name: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / name, Image.fromarray(RGB), exif=exif)
    assert decode(path, upright=True).tolist() == UPRIGHT[orientation](RGB).tolist()
    if name == "a.png":  # Pillow's TIFF reader always applies it
        assert decode(path).tolist() == RGB.tolist()


def test_a_phone_jpeg_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (8, 4)), exif=exif)
    assert decode(path).shape == (4, 8, 3)
    assert decode(path, upright=True).shape == (8, 4, 3)
    upright = FileImages(tmp_path, ("a.jpg",), upright=True)
    assert upright.read(0).shape == (8, 4, 3)
    assert upright.digest() != FileImages(tmp_path, ("a.jpg",)).digest()


# ---- regions, for training -----------------------------------------------------------------------


def _photograph(width: int, height: int) -> Image.Image:
    """Return an image with edges and gradients of all sizes, like a photograph."""
    noise = np.random.default_rng(1)
    total = np.zeros((height, width, 3))
    for cells in (3, 9, 27, 81):
        coarse = noise.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(coarse).resize((width, height))) / cells**0.5
    return Image.fromarray((total * 255 / total.max()).astype(np.uint8))


def _region_by_hand(whole: Array, box: tuple[int, int, int, int], side: int) -> Array:
    top, left, height, width = box
    part = Image.fromarray(whole).crop((left, top, left + width, top + height))
    return np.asarray(part.resize((side, side), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("times", [1, 2, 3, 4, 8, 11])
def test_a_large_region_of_a_jpeg_is_decoded_small(mode: str, times: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", _photograph(801, 603).convert(mode), quality=90)
    side = 50
    box = (37, 101, side * times, side * times + 13)
    requested = []
    found = decode_region(path, lambda *size: requested.append(size) or box, side)
    assert requested == [(603, 801)]  # the full size, whatever the decoded size
    expected = _region_by_hand(decode(path), box, side)
    gap = np.abs(found - expected.astype(float))
    assert (gap.max() == 0) == (times == 1)
    assert gap.mean() < 1.5
    assert np.quantile(gap, 0.99) < 6


def test_every_region_of_a_small_jpeg_is_at_the_right_place(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", _photograph(97, 61), quality=95)
    whole = decode(path)
    draw = np.random.default_rng(0)
    for _ in range(200):
        height, width = draw.integers(1, 62), draw.integers(1, 98)
        top, left = draw.integers(0, 62 - height), draw.integers(0, 98 - width)
        box = (int(top), int(left), int(height), int(width))
        found = decode_region(path, lambda *_, box=box: box, 6)
        gap = np.abs(found - _region_by_hand(whole, box, 6).astype(float))
        assert gap.mean() < 8


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp"])
def test_regions_of_other_formats_equal_those_of_the_whole(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / name, _photograph(120, 90))
    box = (5, 10, 80, 100)
    expected = _region_by_hand(decode(path), box, 20)
    assert decode_region(path, lambda *_: box, 20).tolist() == expected.tolist()


def test_a_region_of_an_upright_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", _photograph(120, 90), exif=exif)
    box = (5, 10, 100, 70)
    expected = _region_by_hand(decode(path, upright=True), box, 20)
    assert decode_region(path, lambda *_: box, 20, upright=True).tolist() == expected.tolist()
    assert (
        FileImages(tmp_path, ("a.jpg",), upright=True).crop(0, lambda h, w: (0, 0, h, w), 9).shape
    )
    with pytest.raises(DataError, match=r"gone\.jpg: no such file"):
        decode_region(tmp_path / "gone.jpg", lambda *_: box, 20)


# ---- damage --------------------------------------------------------------------------------------


def test_damage_is_reported_in_one_line_with_the_path(tmp_path: Path) -> None:
    noise = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = saved(tmp_path / "whole.jpg", noise).read_bytes()
    lossless = saved(tmp_path / "whole.png", noise).read_bytes()
    damaged = {
        "empty.png": b"",
        "text.png": b"this is no image",
        "truncated.jpg": whole[: len(whole) // 2],
        "truncated.png": lossless[: len(lossless) // 2],
        "header.jpg": whole[:20],
        "bomb.png": png(8, 0, np.zeros((1, 1, 1)))[:16]
        + struct.pack(">II", 20_000, 20_000)
        + png(8, 0, np.zeros((1, 1, 1)))[24:],
    }
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError) as caught:
            decode(tmp_path / name)
        line = str(caught.value)
        assert str(tmp_path / name) in line
        assert "\n" not in line
        assert ("empty" in line) == (name == "empty.png")
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        decode(tmp_path / "gone.png")
    with pytest.raises(DataError, match=str(tmp_path)):
        decode(tmp_path)
    with pytest.raises(DataError, match=r"gone\.png"):
        FileImages(tmp_path, ("whole.png", "gone.png")).digest()


def test_pillows_warnings_are_silenced_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    saved(path, Image.fromarray(np.zeros((2, 2), dtype=np.uint8), mode="L").convert("P"))
    Image.open(path).save(path, transparency=b"\x00\x80")
    with pytest.warns(UserWarning, match="Transparency"):
        Image.open(path).convert("RGB")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for found in in_threads(lambda _: decode(path), range(20)):
            assert found.shape == (2, 2, 3)
        warnings.warn("somebody else's", stacklevel=1)
    assert [str(w.message) for w in heard] == ["somebody else's"]


# ---- names ---------------------------------------------------------------------------------------


def test_the_digest_changes_with_the_files(tmp_path: Path) -> None:
    files = ("bird/ü é.png", "cat/1.png")
    for file in files:
        (tmp_path / file).parent.mkdir()
        saved(tmp_path / file, Image.fromarray(RGB))
    images = FileImages(tmp_path, files)
    assert len(images) == 2
    assert images.read(0).tolist() == RGB.tolist()
    before = images.digest()
    assert FileImages(tmp_path, files).digest() == before
    assert FileImages(tmp_path, files[::-1]).digest() != before
    saved(tmp_path / files[1], Image.fromarray(RGB[:2]))
    assert FileImages(tmp_path, files).digest() != before


def test_missing_files_are_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "there.png").touch()
    (tmp_path / "a" / "folder.png").mkdir()
    files = ("b/x.png", "a/there.png", "a/folder.png", "a/there.png/y.png", "top.png")
    assert missing_files(tmp_path, files) == [f for f in files if f != "a/there.png"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\n<!DOCTYPE html><title>Google Drive - Quota exceeded</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "git lfs pull"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML message"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg xmlns='x'></svg>", "it is an SVG drawing"),
        (b"\0\0\0\x1cftypavif" + bytes(50), "it is an AVIF image: convert it"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "it is a HEIC image: convert it"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), "it is a video"),
        (b"%PDF-1.7" + bytes(50), "it is a PDF file"),
        (b"", "the file is empty"),
        (bytes(100), "unreadable or truncated image"),
    ],
)
def test_files_that_are_only_called_images(content: bytes, what: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        decode(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert what in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "profile"])
def test_pngs_with_megabytes_of_metadata(kind: str, tmp_path: Path) -> None:
    large = "x" * 3_000_000
    info = PngImagePlugin.PngInfo()
    if kind == "text":
        info.add_text("Comment", large, zip=True)
    Image.new("RGB", (3, 2), (1, 2, 3)).save(
        tmp_path / "a.png", pnginfo=info, icc_profile=large.encode() if kind == "profile" else None
    )
    assert decode(tmp_path / "a.png").tolist() == [[[1, 2, 3]] * 3] * 2


def test_all_texts_of_a_png_are_bounded(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    for i in range(70):
        info.add_text(f"x{i}", "x" * 1_000_000, zip=True)
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(DataError):
        decode(tmp_path / "a.png")
