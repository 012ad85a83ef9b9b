"""The settings of a report, from flags and from the `report:` of a sweep's YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.values import coerce
from benchmarks.priors import read_prior
from benchmarks.sweep.settings import difference_in_points
from reports import record_files, view
from reports.figures import options
from reports.figures import settings as figures
from reports.figures.options import FigureOptions
from reports.latex.width import PAGE, Width, read_width
from reports.view import View, read_view

_OTHERS = ("rope", "latex_width", "test_prior", "conformal")
KEYS = (*view.KEYS, *figures.KEYS, *_OTHERS)
"""Keys of `report:`; all but `font_size` are flags, too, with hyphens."""


@dataclass(frozen=True)
class Settings:
    """Everything that a user chooses of a report."""

    view: View = view.USUAL
    figures: FigureOptions = FigureOptions()  # noqa: RUF009 - it is frozen
    rope: float | None = None
    """Half-width of the region of practical equivalence over data sets, in points."""
    latex: Width = PAGE
    """Place of the LaTeX tables in a document."""
    record_formats: tuple[str, ...] = ()
    """Formats of the table of records beside CSV, some of `record_files.FORMATS`."""
    conformal: float | None = None
    """Coverage of conformal prediction sets in percent; None for no sets."""
    priors: tuple[str, ...] = ()
    """Class priors of the test distributions; none for the test images as they are."""


USUAL = Settings()


def read_settings(
    flags: Mapping[str, Any], section: Mapping[str, Any], file: Path | None
) -> Settings:
    """The settings of a command; a flag wins over the file.

    Args:
        flags: name -> value, None where it was not given; other names than KEYS are ignored.
        section: `report:` of a sweep, empty without one.
        file: the file of the sweep, for messages.

    Raises:
        UserError: an unknown key, or an unusable value.
    """
    given: dict[str, tuple[Any, str]] = {}
    for name, value in section.items():
        if name not in KEYS:
            raise did_you_mean(f"key in {file}, report", name, KEYS)
        given[name] = (value, f"{file}, report, {name}")
    given |= {
        name: (flags[name], f"--{name.replace('_', '-')}")
        for name in KEYS
        if flags.get(name) is not None
    }
    rope, latex = given.pop("rope", None), given.pop("latex_width", None)
    priors, conformal = given.pop("test_prior", None), given.pop("conformal", None)
    if priors is not None and conformal is not None:
        raise UserError("--conformal and --test-prior: sets are of the test images as they are.")
    of_records = _take_record_formats(given)
    of_figures = {name: given.pop(name) for name in figures.KEYS if name in given}
    return Settings(
        read_view(given),
        figures.figure_options(of_figures),
        None if rope is None else difference_in_points(*rope),
        PAGE if latex is None else read_width(*latex),
        of_records,
        None if conformal is None else _coverage(*conformal),
        () if priors is None else read_priors(*priors),
    )


def _coverage(value: Any, where: str) -> float:
    """A coverage in percent.

    Raises:
        UserError: not a number from 50 to below 100.
    """
    percent: float = coerce(value, float, where)
    if not 50 <= percent < 100:
        raise UserError(f"{where}: {value} is not a coverage in percent, from 50 to below 100.")
    return percent


def read_priors(value: Any, where: str) -> tuple[str, ...]:
    """The names of test distributions from a text with commas or a list, each once.

    Raises:
        UserError: one of them is none, or there are none.
    """
    names = figures.labels(value, where)
    if not names:
        raise UserError(f"{where}: name a test distribution, such as forward50.")
    return tuple(dict.fromkeys(read_prior(text, where) for text in names))


def _take_record_formats(given: dict[str, tuple[Any, str]]) -> tuple[str, ...]:
    """Take the formats of the table of records out of `format`, which may have those of figures.

    Raises:
        UserError: an unknown format, or one whose package is missing.
    """
    value, where = given.pop("format", ((), ""))
    if not where:
        return ()
    names = figures.labels(value, where)
    known = (*options.FORMATS, *record_files.FORMATS)
    for name in names:
        if name not in known:
            raise did_you_mean(f"format in {where}", name, known)
    if not names:
        raise UserError(f"{where}: name one or more of {', '.join(known)}.")
    if of_figures := [name for name in names if name in options.FORMATS]:
        given["format"] = (of_figures, where)
    found = tuple(name for name in dict.fromkeys(names) if name in record_files.FORMATS)
    record_files.refuse_unwritable(found)
    return found
