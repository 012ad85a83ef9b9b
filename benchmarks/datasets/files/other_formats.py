"""Files that are not what their names say: other formats, and messages in place of files."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from benchmarks.errors import DataError
from benchmarks.input_files import in_place_of_a_file, opened

HEAD = 512
"""Bytes that are looked at."""
_FORMATS = {
    rb"....ftypavi[fs]": "an AVIF image",
    rb"....ftyp(hei[cmsx]|hev[cx]|mif1|msf1)": "a HEIC image",
    rb"....ftyp": "a video",
    rb"\x00\x00\x00\x0cjP": "a JPEG 2000 image",
    rb"\x00\x00\x00\x0cJXL |\xff\x0a": "a JPEG XL image",
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg": "an SVG drawing",
    rb"8BPS": "a Photoshop file",
    rb"%PDF": "a PDF file",
    rb"PK\x03\x04": "a zip archive",
}
"""Beginning of a file -> its format. Cameras, browsers and shops give such files the name .jpg."""


def no_image(head: bytes) -> str:
    """Say why a file cannot be read as an image, as the end of a sentence.

    Args:
        head: its first `HEAD` bytes.
    """
    if not head:
        return "the file is empty"
    for start, what in _FORMATS.items():
        if re.match(start, head, re.DOTALL):
            return f"it is {what}: convert it to JPEG or PNG"
    return in_place_of_a_file(head) or "unreadable or truncated image"


def refuse_messages(file: Path) -> None:
    """Refuse a file of data in whose place there is a pointer of Git LFS or a server's message.

    Raises:
        DataError: the message says which.
    """
    with suppress(OSError), opened(file) as stream:  # its reader says what is wrong
        if what := in_place_of_a_file(stream.read(HEAD)):
            raise DataError(f"{file}: {what}.")
