"""The choices for figures, read from flags or YAML and checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, did_you_mean
from benchmarks.file_names import expanded
from benchmarks.plugins.values import coerce
from benchmarks.sweep.settings import split_labels
from reports.figures.options import FORMATS, FigureOptions

NARROWEST, WIDEST = 2.5, 20.0
"""Inches."""
SMALLEST, LARGEST = 4.0, 30.0
"""Points."""
KEYS = ("figure_width", "font_size", "style", "format", "highlight")
"""Keys of `report:` in a sweep's YAML file. All but `font_size` are flags, too, with hyphens."""


def figure_options(given: Mapping[str, tuple[Any, str]]) -> FigureOptions:
    """The options of typed values.

    Args:
        given: some of KEYS -> the value from a flag or a YAML file, and where it was typed.

    Raises:
        UserError: a value that cannot be used, or a style file that cannot be read.
    """
    found = (_READERS[key](value, where) for key, (value, where) in given.items())
    return FigureOptions(**dict(zip(map(_FIELDS.__getitem__, given), found, strict=True)))


def figure_of(file: Path | None, width: str | None, style: str | None) -> FigureOptions | None:
    """The options of a single figure from a command's flags; None if the file is of another kind.

    Raises:
        UserError: a value that cannot be used, or a choice for figures without a figure.
    """
    typed = {"figure_width": (width, "--figure-width"), "style": (style, "--style")}
    given = {key: pair for key, pair in typed.items() if pair[0] is not None}
    if file is None or file.suffix[1:] not in FORMATS:
        for _, flag in given.values():
            raise UserError(f"{flag} is for figures: name one with --out, such as --out x.pdf.")
        return None
    return figure_options({**given, "format": (file.suffix[1:], f"--out {file}")})


def _width(value: Any, where: str) -> float:
    return _between(value, NARROWEST, WIDEST, "inches", where)


def _font_size(value: Any, where: str) -> float:
    return _between(value, SMALLEST, LARGEST, "points", where)


def _between(value: Any, low: float, high: float, unit: str, where: str) -> float:
    number: float = coerce(value, float, where)
    if not low <= number <= high:
        raise UserError(f"{where}: '{value}' is not a number of {unit} from {low:g} to {high:g}.")
    return number


def _style_file(value: Any, where: str) -> Path:
    from reports.figures.style import read_style  # matplotlib takes half a second

    if not isinstance(value, str | Path) or not str(value):
        raise UserError(f"{where}: '{value}' is not a path.")
    file = expanded(value, where)
    read_style(file)  # an unusable one is an error now, and not when the tables have been printed
    return file


def _formats(value: Any, where: str) -> tuple[str, ...]:
    items = labels(value, where)
    for name in items:
        if name not in FORMATS:
            raise did_you_mean(f"format in {where}", name, FORMATS)
    if not items:
        raise UserError(f"{where}: name one or more of {', '.join(FORMATS)}.")
    if "pgf" in items:
        from reports.figures.style import check_tex

        check_tex(where)
    return tuple(dict.fromkeys(items))


def labels(value: Any, where: str) -> tuple[str, ...]:
    """The labels in a text with commas or in a list.

    Raises:
        UserError: something else than texts.
    """
    items: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    return tuple(part for item in items for part in split_labels(coerce(item, str, where)))


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "figure_width": _width,
    "font_size": _font_size,
    "style": _style_file,
    "format": _formats,
    "highlight": labels,
}
_FIELDS = {"figure_width": "width", "format": "formats"} | {
    name: name for name in ("font_size", "style", "highlight")
}
"""Fields of `FigureOptions` by key."""
