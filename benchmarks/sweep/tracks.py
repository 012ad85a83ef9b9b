"""Trackers that `--track` names: tensorboard, wandb, mlflow, or a Python file of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.errors import UserError, did_you_mean
from benchmarks.file_names import expanded

KINDS = ("tensorboard", "wandb", "mlflow")
"""Trackers of the suite; each needs the Python package, and the extra, of its name."""


@dataclass(frozen=True)
class Track:
    """A tracker that a sweep asks for."""

    kind: str
    """One of `KINDS`, or the path of a Python file."""
    target: str = ""
    """Folder, project or address that it writes to; empty for its default."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}" if self.target else self.kind

    @property
    def is_file(self) -> bool:
        """True for a Python file of the user's."""
        return self.kind.endswith(".py")


def tracks_of(value: Any, where: str) -> tuple[Track, ...]:
    """Return the trackers of a flag or of a YAML key: texts, or one text with commas.

    Raises:
        UserError: an unknown tracker, nothing behind a colon, or one tracker named twice.
    """
    texts = value if isinstance(value, list | tuple) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: write a tracker such as tensorboard:DIR, not {value!r}.")
    parts = [part.strip() for text in texts for part in text.split(",")]
    found = tuple(_track(part, where) for part in parts)
    twice = next((track for track in found if found.count(track) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: {twice} is named twice.")
    return found


def _track(text: str, where: str) -> Track:
    file, ending, rest = text.rpartition(".py")
    if ending and rest[:1] in ("", ":"):
        kind, colon, target = f"{file}.py", rest[:1], rest[1:]
    else:
        kind, colon, target = text.partition(":")
        if kind not in KINDS:
            raise did_you_mean(f"tracker in {where}", kind, KINDS)
    if colon and not target:
        raise UserError(f"{where}: nothing stands behind the colon of '{text}'.")
    if kind == "tensorboard" and target:
        target = str(expanded(target, where))
    return Track(str(expanded(kind, where)), target)
