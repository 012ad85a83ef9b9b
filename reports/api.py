"""Records, tables, comparisons and figures from Python, one line each.

    from reports.api import load, table, compare, figures

The functions take folders that runs wrote to with `--out` or, in their place, lines of the data
frame that `load` returns, so that pandas can choose the records:

    frame = load("results/runs")
    compare(frame[frame["seed"] < 3], a="sage", b="lift")

They do what the commands `report` and `compare` do, with the same code. A file that is not a
readable record is a warning; what cannot be done is a `benchmarks.errors.UserError` with one line.
Paths are relative to the working directory, as on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.settings import difference_in_points
from reports.across.matrix import matrices
from reports.across.overview import overviews
from reports.across.study import study
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer
from reports.compare.families import Asked
from reports.compare.request import Request, compared, tables_of
from reports.compare.rows import RowFinder
from reports.figures.drawing import Drawing
from reports.figures.outcomes import Outcomes
from reports.figures.settings import figure_options
from reports.frames import classes_frame, comparisons_frame, records_frame
from reports.knob_sweeps import find_sweeps
from reports.recast import under_priors
from reports.report import drawn
from reports.report import tables_of as tables_of_report
from reports.settings import read_priors
from reports.sources import Folder, Source, chosen_of, given, labels_in, loaded_from, warn
from reports.styled import overview_styler, table_styler
from reports.view import read_view

__all__ = ["compare", "figures", "load", "table"]


def load(*sources: Source, by: Literal["record", "class"] = "record") -> pd.DataFrame:
    """The records of folders as a tidy data frame; a cell that is in several counts once.

    Args:
        *sources: folders that runs wrote to, each with `records/`, or lines of such a frame.
        by: `record` for one line per record, `class` for one line per class of each finished
            record.

    Returns:
        Lines in the order of a frame or else of data sets, methods and seeds.

        By record: the fields of docs/formats.md but those by class, one column each
        (`metrics.overall`, `cost.fit_s`, `provenance.fingerprint`), and `variant`, the label of the
        row in its table (<NA> if another record of the same seeds is used), `stale`, whether
        another version of the method's source made it, and `folder`. Texts are `string`, integers
        `Int64`, truth values `boolean`, numbers `float64`; lists are tuples and mappings dicts.

        By class: `key`, `method`, `variant`, `dataset`, `backbone`, `seed`, `split_seed`, `class`
        (its index), `class_name`, `group`, `train_images`, `value` (accuracy or average precision
        in percent) and `folder`.

    Raises:
        UserError: a folder without records, or none that can be read.

    Examples:
        >>> records = load("results/reference/prompts")
        >>> records.groupby("variant")["metrics.few"].mean().round(1).index.tolist()
        ['coop', 'lmpt']
        >>> classes = load("results/reference/prompts", by="class")
        >>> classes.pivot_table("value", index="group", columns="variant").shape
        (3, 2)
    """
    loaded = loaded_from(sources)
    records = loaded.records
    if by == "class":
        records = [record for record in records if record.status == "done"]
        frame = classes_frame(records)
    elif by == "record":
        frame = records_frame(records)
        frame["stale"] = frame["key"].isin(loaded.stale).astype("boolean")
    else:
        raise UserError(f"by={by!r}: write 'record' or 'class'.")
    rows = [row for table in build_tables(records, allow_mixed=True) for row in table.rows]
    labels = {record.key: row.label for row in rows for record in (*row.done, *row.failed)}
    place = frame.columns.tolist().index("method") + 1
    frame.insert(place, "variant", frame["key"].map(labels).astype("string"))
    folder = {key: str(folder) for key, folder in loaded.folder_of.items()}
    frame["folder"] = frame["key"].map(folder).astype("string")
    return frame


def table(
    *sources: Source,
    methods: str | Sequence[str] = (),
    datasets: str | Sequence[str] = (),
    backbone: str = "",
    columns: str | Sequence[str] = (),
    sort: str = "",
    names: Mapping[str, str] | Folder | None = None,
    metric: str = "",
    test_prior: str | Sequence[str] = "",
    groups: Folder = "",
    allow_mixed: bool = False,
) -> Styler:
    """The table of a data set or, for several, the table of methods by data sets.

    A notebook shows what `report` prints: means, ± or intervals, best rows bold and second ones
    underlined by the table's own marks, caption and notes below. For LaTeX, use `report`.

    Args:
        *sources: folders, or lines of the frame of `load`.
        methods: only these methods; a text with commas or a list.
        datasets: only these data sets.
        backbone: name of the backbone, if the records have several.
        columns: keys of metrics and costs, by default those of `report`.
        sort: key of a metric or cost, `rank`, or `asked`: as `methods` or the lines of a frame are.
        names: printed names of methods, rows, data sets and backbones, or a YAML file of them.
        metric: the main metric, which sorts the rows.
        test_prior: test distributions that predictions are re-weighted to, such as
            "forward50,uniform,backward50"; each is a column of the table over data sets.
        groups: groups of classes beside many, medium and few: a YAML or CSV file, `coverage` or the
            name of a corpus, as `report --groups` takes them.
        allow_mixed: take records into one table that are not comparable.

    Returns:
        A Styler whose `data` have the unrounded numbers: one line for each row, by its label, and
        the columns (metric, statistic), with the data set before them if there are several.
        Statistics are `mean`, `std` over runs (ddof 1), `low` and `high`, the ends of the 95 %
        interval; the last two need predictions. `data["all"]` has the mean over data sets and the
        mean rank.

    Raises:
        UserError: unknown names, records that do not belong in one table, or several backbones.

    Examples:
        >>> styler = table("results/reference/prompts", columns="overall,few,fit_s")
        >>> styler.data["few", "mean"].round(1).index.tolist()
        ['coop', 'lmpt']
        >>> sorted(styler.data.columns.get_level_values("statistic").unique())[-2:]
        ['mean', 'std']
    """
    loaded = loaded_from(sources)
    records = chosen_of(loaded, methods, datasets)
    backbones = {record.backbone for record in records}
    if backbone or len(backbones) > 1:
        if backbone not in backbones:
            raise did_you_mean("backbone of these records", backbone, backbones)
        records = [record for record in records if record.backbone == backbone]
    view = read_view(
        given(columns=columns, sort=sort, names=names, metric=metric, groups=str(groups))
    )
    priors = read_priors(test_prior, "test_prior") if test_prior else ()
    cast = under_priors(records, loaded.stale, loaded.read, priors)
    tables = tables_of_report(
        cast.records, view, stale=cast.stale, allow_mixed=allow_mixed, read=cast.read
    )
    if len(tables) == 1:
        return table_styler(tables[0])
    studies = [study(matrix) for matrix in matrices(tables, view.metric)]
    found = overviews(tables, studies)
    if not found:
        raise UserError("Fewer than two data sets have results: name one with datasets=.")
    return overview_styler(found[0])


def compare(
    *sources: Source,
    a: str = "",
    b: str | Sequence[str] = (),
    against: str | Sequence[str] = (),
    datasets: str | Sequence[str] = (),
    margin: float | None = None,
    power: float | None = None,
    robust: bool = False,
    test_prior: str | Sequence[str] = "",
) -> pd.DataFrame:
    """Paired differences between variants, with intervals, p-values and verdicts.

    The records need their predictions, or `correct.npz` in their folder.

    Args:
        *sources: folders, or lines of the frame of `load`.
        a: a variant, as the tables label it, or the name of a method.
        b: one variant or several to compare it with.
        against: variants that all others are compared with, in place of `a` and `b`.
        datasets: only these data sets; one name or several.
        margin: also test whether differences are smaller than this many points.
        power: also count the runs needed to show a difference of this many points.
        robust: compare typical runs by trimmed means.
        test_prior: test distributions that predictions are re-weighted to, as in `table`.

    Returns:
        One line for each data set, backbone, pair and metric, with the columns of
        docs/formats.md: among them `difference` (A − B in points), `low` and `high` (ends of the
        95 % interval), `p`, `p_adjusted` (Holm's rule over all lines of a table), `better` and
        `verdict`.

    Raises:
        UserError: unknown variants, nothing in common, records that do not belong in one table, or
            predictions that are missing.

    Examples:
        >>> found = compare("results/reference/prompts", a="coop", b="lmpt")
        >>> found["metric"].tolist()
        ['overall', 'many', 'medium', 'few']
        >>> bool((found["p"] <= found["p_adjusted"]).all())
        True
    """
    request = Request(a, labels_in(b), labels_in(against))
    if not request.usable:
        raise UserError(
            "Name two variants with a= and b=, or with against= the variants that all others are "
            "compared with."
        )
    loaded = loaded_from(sources)
    records = chosen_of(loaded, (), datasets)
    asked = Asked(
        None if margin is None else difference_in_points(margin, "margin"),
        None if power is None else difference_in_points(power, "power"),
    )
    priors = read_priors(test_prior, "test_prior") if test_prior else ()
    cast = under_priors(records, loaded.stale, loaded.read, priors)
    tables = tables_of(cast.records, cast.stale, request)
    comparer = Comparer(cast.read, robust=robust)
    return comparisons_frame(compared(request, tables, comparer, RowFinder({}, warn), asked))


def figures(
    *sources: Source,
    methods: str | Sequence[str] = (),
    datasets: str | Sequence[str] = (),
    names: Mapping[str, str] | Folder | None = None,
    metric: str = "",
    width: float | None = None,
    style: Folder | None = None,
    highlight: str | Sequence[str] = (),
    allow_mixed: bool = False,
) -> dict[str, Figure]:
    """The figures that `report` draws, by the names of their files without the ending.

    Args:
        *sources: folders, or lines of the frame of `load`.
        methods: only these methods; a text with commas or a list.
        datasets: only these data sets.
        names: printed names of methods, rows, data sets and backbones, or a YAML file of them.
        metric: the main metric, which is compared over data sets.
        width: inches, in which texts have 8 points; by default 7.
        style: a matplotlib style file.
        highlight: rows or methods in colour, all others are grey; by default the best rows.
        allow_mixed: take records into one figure that are not comparable.

    Returns:
        matplotlib Figures, which a notebook shows after `%matplotlib inline` and `savefig` writes.
        Those of a data set are named `DATASET__BACKBONE__KIND`. Figures that need predictions are
        left out where there are none.

    Raises:
        UserError: unknown names, or records that do not belong in one table.

    Examples:
        >>> drawn = figures("results/reference/prompts", highlight="lmpt")
        >>> "glyphscenes_lt__glyph__head_tail" in drawn
        True
    """
    loaded = loaded_from(sources)
    records = chosen_of(loaded, methods, datasets)
    options = figure_options(given(figure_width=width, style=style, highlight=highlight))
    view, outcomes = read_view(given(names=names, metric=metric)), Outcomes(loaded.read)
    tables = tables_of_report(
        records, view, stale=loaded.stale, allow_mixed=allow_mixed, read=outcomes.read
    )
    studies = [study(matrix) for matrix in matrices(tables, view.metric)]
    drawing = Drawing.of(tables, options, outcomes)
    return dict(drawn(tables, find_sweeps(tables), studies, drawing))
