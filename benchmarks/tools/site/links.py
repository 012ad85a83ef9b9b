"""Links that work in the repository, led to the places of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages outside docs/ and their places on the site."""
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_CODE = re.compile(r"(^ *```.*?^ *```$)", re.M | re.S)


def place(path: str) -> str:
    """The place on the site of a file of the repository; `source/PATH` if it is no page."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}"


def repository_path(at: str) -> str:
    """The file of the repository that is shown at a place of the site."""
    outside = {there: here for here, there in PAGES.items()}
    if at.startswith("source/"):
        return at.removeprefix("source/")
    return outside.get(at, f"docs/{at}")


def targets(text: str, page: str) -> list[str]:
    """Files of the repository that a page links to.

    Args:
        text: the page in Markdown.
        page: its path in the repository, with slashes.
    """
    found = (_target(match[2], page) for match in _LINK.finditer(_without_code(text)))
    return [path for path in found if path is not None]


def led_to_the_site(text: str, page: str) -> str:
    """The page's text with links to places of the site; a link to a folder is its text alone."""

    def led(match: re.Match[str]) -> str:
        path = _target(match[2], page)
        if path is None:
            return match[0]
        there = posixpath.relpath(place(path), posixpath.dirname(place(page)) or ".")
        return f"{match[1]}{there}{match[3] or ''}{match[4]}"

    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(led, _without_folders(part, page)) for part in parts[::2]]
    return "".join(parts)


def _target(link: str, page: str) -> str | None:
    """Path in the repository of what a page links to; None for another site or mail."""
    if re.match(r"[a-z]+:", link):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _without_code(text: str) -> str:
    return "".join(_CODE.split(text)[::2])


def _without_folders(text: str, page: str) -> str:
    def plain(match: re.Match[str]) -> str:
        path = _target(match[2], page)
        return match[1] if path and (ROOT / path).is_dir() else match[0]

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)\)", plain, text)
