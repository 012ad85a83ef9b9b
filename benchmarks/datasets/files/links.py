"""Links in a folder of data that lead out of it.

The folder itself may be a link, as may the folders directly in the data root, which the user made.
A link deeper inside may have come with the data. It is refused if it leads elsewhere, unless the
user says where links may lead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.errors import DataError

ENVIRONMENT_VARIABLE = "LONGTAIL_VLM_LINKS"
"""Folders that links in data may lead to, separated as in `$PATH`."""


class Links:
    """Checks where the links in a folder of data lead.

    Args:
        root: the folder.
        more: other folders that its links may lead to.
    """

    def __init__(self, root: Path, more: Iterable[Path] = ()) -> None:
        self._root = root
        said = os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep)
        allowed = (root, *more, *(Path(place) for place in said if place))
        self._allowed = [os.path.realpath(place) for place in allowed]

    def check(self, path: Path) -> None:
        """Refuse a file or folder that is outside, once all links in its path are followed.

        Raises:
            DataError: the message names the path and says how to allow the link.
        """
        if self._inside(path):
            return
        part = path.relative_to(self._root)
        parts = [self._root / one for one in (*reversed(part.parents), part)]
        link = next(one for one in parts if not self._inside(one))
        place = os.path.realpath(link)
        raise DataError(
            f"{link} is a link to {place}, outside {self._root}; if it is yours, set "
            f"{ENVIRONMENT_VARIABLE}={os.path.dirname(place)} to allow links there."
        )

    def _inside(self, path: Path) -> bool:
        place = Path(os.path.realpath(path))
        return any(place.is_relative_to(one) for one in self._allowed)


def leaves(path: str) -> bool:
    """True for a path in a list that does not stay under the folder that it starts from."""
    return path.startswith("/") or "\0" in path or ".." in path.split("/")
