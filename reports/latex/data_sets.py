"""Tables over data sets as sheets."""

from __future__ import annotations

from reports.across.captions import caption_parts, reader_notes
from reports.across.files import pairs, pairs_legend, statistics, title
from reports.across.overview import Overview, overview_grid
from reports.across.study import Study
from reports.latex.sheet import Sheet
from reports.latex.text import breakable


def overview_sheet(overview: Overview, name: str) -> Sheet:
    """Methods by data sets.

    Args:
        overview: what to print.
        name: of the label.
    """
    what, *others = caption_parts(overview)
    marking = overview.legend(r"\textbf{bold}", r"\underline{underlined}")
    return Sheet.of(
        overview_grid(overview),
        name=name,
        title=overview.title,
        caption=f"{breakable(what)} {marking}".rstrip(),
        notes=(*others, *reader_notes(overview)),
    )


def study_sheet(study: Study, name: str) -> Sheet:
    """The statistics over data sets.

    Args:
        study: what to print.
        name: of the label.
    """
    return Sheet.of(
        statistics(study),
        name=name,
        title=title(study),
        caption=breakable(f"{title(study)}."),
        notes=study.notes,
    )


def pairs_sheet(study: Study, name: str) -> Sheet:
    """The comparisons of pairs over data sets.

    Args:
        study: what to print; it has pairs.
        name: of the label.
    """
    return Sheet.of(
        pairs(study),
        name=name,
        title=f"Pairs, {title(study)}",
        caption=breakable(f"Pairs of methods, {title(study)}. {pairs_legend(study)}".rstrip()),
    )
