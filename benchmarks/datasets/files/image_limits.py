"""Bounds of what an image file may take: formats, pixels, bytes and parts.

A file of some megabytes can be made to fill the memory or to be read for hours.
"""

from __future__ import annotations

import io
import os
from functools import cache

from PIL import Image, PngImagePlugin

from benchmarks.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
"""Pillow's readers of these files; others hand the file to programs such as Ghostscript."""
PIXELS_VARIABLE = "LONGTAIL_VLM_MAX_PIXELS"
"""Environment variable with the largest number of pixels of an image."""
MAX_PIXELS = 89_478_485
"""The default: Pillow's own, a quarter of a gigabyte of pixels."""
_BYTES_PER_PIXEL = 3
"""Largest size of a file, as bytes per pixel of the largest image."""
_SMALLEST_LIMIT = 10_000_000
"""Pixels that a file's size is always allowed for."""
_HEADER_READS = 4_000
"""Most reads before the pixels: one or a few for each part of a file (segment, chunk, block)."""
_READ = 256
"""Fewest bytes per read on average, besides those of the header."""
_SCANNED_PIXELS = 1_500_000_000
"""Most pixels of a progressive JPEG times its scans, each of which passes over all pixels."""
_PLAIN_BYTES = 4_000_000
"""Largest PPM file whose numbers are text, which is read slowly."""


class Excessive(ValueError):
    """An image that takes more memory or time than images do."""


class Bounded(io.BufferedReader):
    """A file that is read in a bounded number of steps.

    Pillow reads the parts of a file one after the other, and a file of some megabytes may have
    millions of empty ones.
    """

    reads = _HEADER_READS
    """Reads that are left."""

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise Excessive("too many parts for an image of this size")
        return super().read(size)


def refuse_excessive(image: Image.Image, stream: Bounded, size: int, most: int) -> None:
    """Refuse an image whose header promises more work than images of its kind take.

    Args:
        image: the image, of which only the header was read.
        stream: its file; its position is kept.
        size: bytes of the file.
        most: most pixels.

    Raises:
        Excessive: the pixels, the scans or the text are too many.
    """
    pixels = image.width * image.height
    if pixels > most:
        raise Excessive(too_large(most))
    if image.info.get("progressive"):
        place = stream.tell()
        stream.seek(0)
        scans = stream.read().count(b"\xff\xda")
        stream.seek(place)
        if scans * pixels > _SCANNED_PIXELS:
            raise Excessive(f"a JPEG with {scans:,} scans, which would be decoded for minutes")
    plain = any(tile[0] == "ppm_plain" for tile in getattr(image, "tile", ()))
    if plain and size > _PLAIN_BYTES:
        raise Excessive("a large image in text; save it in a binary format")


def too_large(most: int) -> str:
    """The error for an image of more than `most` pixels, as the end of a sentence."""
    return (
        f"more than {most / 1e6:,.1f} million pixels; set {PIXELS_VARIABLE}=NUMBER in the "
        "environment to allow more"
    )


def max_pixels() -> int:
    """The largest number of pixels of an image.

    Raises:
        UserError: the environment variable is not a number.
    """
    return _max_pixels(os.environ.get(PIXELS_VARIABLE, ""))


@cache
def _max_pixels(said: str) -> int:
    digits = said.replace("_", "")
    if said and not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 16):
        raise UserError(f"{PIXELS_VARIABLE}={said}: write a number of pixels, such as 200000000.")
    most = int(digits or MAX_PIXELS)
    # Pillow refuses a PNG with a text or colour profile of over a megabyte, as graphics programs
    # write them. All its texts together are bounded as before.
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    # Pillow's own limit is twice this number, and must not be below the one that the user says.
    Image.MAX_IMAGE_PIXELS = max(most, MAX_PIXELS)
    return most


def largest_file(most: int) -> int:
    """The largest size of a file in bytes, given the most pixels of an image."""
    return _BYTES_PER_PIXEL * max(most, _SMALLEST_LIMIT)


def reads_of(size: int) -> int:
    """The most reads for the pixels of a file of `size` bytes."""
    return _HEADER_READS + size // _READ
