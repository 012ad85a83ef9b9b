"""The page in a browser: what a reader clicks, types and sees."""

from __future__ import annotations

import csv
import io
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from benchmarks.visible import visible
from reports.aggregate import build_tables
from reports.compare.cells import pair_rows
from reports.compare.comparison import Comparer
from reports.compare.families import balanced_is_overall, judge
from reports.conformal_tables import conformal_tables
from reports.grid import table_grid
from reports.layout import number
from reports.page.document import Content, document, page_data
from tests.reports.page.conftest import Open
from tests.reports.page.made import Made, multi_label
from tests.reports.test_conformal import with_probabilities
from tests.results.factory import failed_record, make_record


def cells(page: Any, table: str) -> list[list[str]]:
    """The texts of the body of a table, without spaces at their ends."""
    found: list[list[str]] = page.locator(f"{table} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    return found


def methods(page: Any) -> list[str]:
    return [row[0] for row in cells(page, "#board")]


# ---- the leaderboard ---------------------------------------------------------------------------


def test_the_board_shows_the_table(opened: Open, made: Made, file: Path) -> None:
    page = opened(file)
    (table,) = made.tables()
    grid = table_grid(table)
    assert [h.on_one_line for h in grid.columns] == [
        " ".join(text.replace("▼", "").split())
        for text in page.locator("#board thead th").all_inner_texts()[1:-1]
    ]
    expected = [[head.on_one_line, *(cell.text for cell in own)] for head, own in grid.lines[::-1]]
    assert [row[:-1] for row in cells(page, "#board")] == expected
    (low, high) = table.rows[-1].intervals["overall"]
    page.get_by_label("Beside the mean").select_option("interval")
    assert cells(page, "#board")[0][1].endswith(f"{number(low)} to {number(high)}")


def test_rows_are_sorted_and_filtered(opened: Open, made: Made, file: Path) -> None:
    page = opened(file)
    (table,) = made.tables()
    by_few = sorted(table.rows, key=lambda row: -row.values["few"].mean)
    page.get_by_role("button", name="few").click()
    assert methods(page) == [row.label for row in by_few]
    assert page.locator("th[aria-sort]").inner_text().startswith("few")
    page.get_by_role("button", name="few").click()
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    assert methods(page) == [row.label for row in by_few[::-1]]
    page.get_by_role("button", name="fit").click()
    assert methods(page)[0] == "ncm"  # of a cost, the lowest is the best
    page.get_by_label("Filter rows").type("LI be")  # two words, of any case
    assert methods(page) == ["linear_probe"]
    page.get_by_label("Filter rows").fill("sage")
    assert methods(page) == ["sage"]
    assert page.locator("#rows-shown").inner_text() == "1 of 4 rows"
    page.locator("#columns-summary").click()
    page.get_by_label("ece").check()
    assert cells(page, "#board")[0][-2] == "3.2 ± 0.0"  # 3.25: a tie goes to the even digit


def test_the_shown_table_is_saved(opened: Open, made: Made, file: Path) -> None:
    page = opened(file)
    page.get_by_label("Filter rows").fill("l")
    saved = {}
    for name in ("CSV", "Markdown", "LaTeX"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        saved[name] = Path(download.value.path()).read_text(encoding="utf-8")
    shown = methods(page)
    lines = list(csv.DictReader(io.StringIO(saved["CSV"])))
    assert [line["variant"] for line in lines] == shown
    (table,) = made.tables()
    by_label = {row.label: row for row in table.rows}
    for line in lines:
        row = by_label[line["variant"]]
        assert float(line["overall"]) == row.values["overall"].mean
        assert float(line["few low"]) == row.intervals["few"][0]
    assert len(saved["Markdown"].splitlines()) == 2 + len(shown)
    assert f"| `{shown[0]}` | " in saved["Markdown"]
    assert saved["LaTeX"].count(r"\\") == 1 + len(shown)
    assert r"linear\_probe & " in saved["LaTeX"]
    assert saved["LaTeX"].isascii()


def test_several_data_sets_with_their_knobs(opened: Open, tmp_path: Path) -> None:
    study = multi_label(2)
    for ratio, dataset in ((100, "cifar10_lt"), (20, "cifar10_lt_ir20")):
        for method, accuracy in (("ncm", 0.4), ("lift", 0.7)):
            knobs = {"imbalance": ratio, "profile": "exp"}
            study.add(
                method, 0, accuracy, classes=6, deterministic=True, dataset=dataset,
                dataset_config=knobs,
            )  # fmt: skip
    page = opened(study.write(tmp_path / "page.html"))
    shown = [row[:3] for row in cells(page, "#board")]
    assert shown == [
        ["cifar10_lt", "lift", "100"], ["cifar10_lt", "ncm", "100"],
        ["cifar10_lt_ir20", "lift", "20"], ["cifar10_lt_ir20", "ncm", "20"],
        ["glyphs100_lt", "m01", "100"], ["glyphs100_lt", "m00", "100"],
    ]  # fmt: skip
    page.get_by_role("button", name="imbalance").click()
    assert [row[2] for row in cells(page, "#board")] == ["20", "20", "100", "100", "100", "100"]
    assert "Methods on 3 data sets" in page.locator("#across").inner_text()
    page.locator("#board-table").select_option(label="glyphs100_lt / glyph")
    assert methods(page) == ["m01", "m00"]
    tables = {table.task: table for table in study.tables()}
    rows = {row.label: row for row in tables["multi"].rows}
    comparison = Comparer(study.read).compare(tables["multi"], rows["m01"], rows["m00"])
    expected = [row[1:] for row in pair_rows(judge([comparison]).members[0])]
    assert [row[1:5] + row[6:] for row in cells(page, "#differences")] == expected
    assert "Multi-label data have no predicted class" in page.locator("#pair").inner_text()
    assert "average precision" in page.locator("#class-rows").inner_text()


def test_figures_of_calibration_and_of_ranks(opened: Open, tmp_path: Path) -> None:
    study = Made()
    for place in range(6):
        for method, accuracy in (("ncm", 0.4), ("lift", 0.7)):
            study.add(method, place, accuracy, classes=6, dataset=f"set{place}")
    page = opened(study.write(tmp_path / "page.html"))
    ranks = page.locator("#across figure svg").first
    assert ranks.locator(".name").all_text_contents() == ["lift", "ncm"]
    assert ranks.locator("line[stroke-width]").count() == 0  # six data sets show the difference
    assert "Bold: p ≤ 0.05" in page.locator("#across").inner_text()
    figure = page.locator("#calibration")
    figure.locator("summary").click()
    shown = {name: values for name, *values in cells(page, "#calibration")}
    run = next(r for r in study.records if r.dataset == "set0" and r.method == "lift")
    arrays = study.read(run)
    groups = np.array(run.groups.membership)[arrays["labels"]]
    right, sure = arrays["top5"][:, 0] == arrays["labels"], arrays["top5_prob"][:, 0]
    expected = []
    for name in ("many", "medium", "few"):
        bins = np.ceil(15 * sure)
        gaps = [(sure - right)[(groups == name) & (bins == b)].sum() for b in range(16)]
        expected.append(f"{100 * np.abs(gaps).sum() / (groups == name).sum():.1f}")
    assert shown["lift"] == expected


# ---- two rows ----------------------------------------------------------------------------------


def test_two_rows_are_compared_as_the_command_does(opened: Open, made: Made, file: Path) -> None:
    page = opened(file)
    page.get_by_role("button", name="compare sage as A").click()
    page.get_by_role("button", name="compare linear_probe as B").click()
    (table,) = made.tables()
    rows = {row.label: row for row in table.rows}
    comparer = Comparer(made.read)
    for a, b in (("sage", "linear_probe"), ("linear_probe", "sage")):
        judged = judge([comparer.compare(table, rows[a], rows[b])]).members[0]
        expected = [[title, *rest[:-1], rest[-1]] for title, *rest in pair_rows(judged)]
        shown = [row[:5] + row[6:] for row in cells(page, "#differences")]
        assert [row[1:] for row in shown] == [row[1:] for row in expected]
        page.get_by_role("button", name="Swap A and B").click()


def test_classes_and_images_that_changed(opened: Open, made: Made, file: Path) -> None:
    page = opened(file)
    page.get_by_label("A", exact=True).select_option("lift")
    page.get_by_label("B", exact=True).select_option("linear_probe")
    values = {
        method: np.mean([r.metrics.per_class for r in made.records if r.method == method], axis=0)
        for method in ("lift", "linear_probe")
    }
    by = values["lift"] - values["linear_probe"]
    shown = cells(page, "#changed > :first-child")
    best = [f"class {c}" for c in np.argsort(-by, kind="stable")[:10] if by[c] > 0]
    assert [row[0] for row in shown] == best
    assert float(shown[0][5]) == pytest.approx(by.max(), abs=0.06)
    page.get_by_label("B", exact=True).select_option("sage")
    membership = np.array(made.records[0].groups.membership)
    gained: dict[str, float] = {}
    for seed in range(3):
        one, other = (
            made.read(next(r for r in made.records if (r.method, r.seed) == (method, seed)))
            for method in ("lift", "sage")
        )
        labels = one["labels"]
        right = [run["top5"][:, 0] == labels for run in (one, other)]
        for group in ("many", "medium", "few"):
            of_group = membership[labels] == group
            gained[group] = gained.get(group, 0) + (right[0] & ~right[1] & of_group).sum() / 3
    shown = {row[0].split()[0]: float(row[2]) for row in cells(page, "#moved")}
    assert shown == pytest.approx(gained, abs=0.06)


# ---- one class ---------------------------------------------------------------------------------


def test_a_class_and_who_knows_it(opened: Open, made: Made, file: Path) -> None:
    page = opened(file)
    page.get_by_label("Class", exact=True).fill("class 3")
    page.get_by_label("Class", exact=True).press("Enter")
    said = page.locator("#class-facts").inner_text()
    count = made.records[0].groups.train_counts[3]
    assert f"{count} training images, rank 4 of 24" in said
    assert "not known" in said  # the made-up texts have another hash
    shown = {row[0]: row[1] for row in cells(page, "#class-rows")}
    for method in ("lift", "ncm"):
        values = [r.metrics.per_class[3] for r in made.records if r.method == method]
        assert shown[method] == number(float(np.float32(np.mean(values))))
    shown = {row[0]: row[4:6] for row in cells(page, "#class-rows")}
    runs = [made.read(r) for r in made.records if r.method == "lift"]
    labels, top = (np.concatenate(parts) for parts in zip(
        *((run["labels"], run["top5"][:, 0]) for run in runs), strict=True))  # fmt: skip
    of_class = [100.0 * score(labels == 3, top == 3) for score in (precision_score, f1_score)]
    assert [float(value) for value in shown["lift"]] == pytest.approx(of_class, abs=0.051)
    page.get_by_role("button", name="Rarer").click()
    assert page.get_by_label("Class", exact=True).input_value() == "class 4"
    page.get_by_label("Class", exact=True).fill("nothing")
    page.get_by_label("Class", exact=True).press("Enter")
    assert "No class has this name" in page.locator("#class").inner_text()
    page.get_by_label("Class", exact=True).fill("class 0")
    page.get_by_label("Class", exact=True).press("Enter")
    page.get_by_label("Mistakes of").select_option("ncm")
    run = made.read(next(r for r in made.records if r.method == "ncm"))
    top = run["top5"][run["labels"] == 0, 0]
    wrong = {f"class {c}": f"{n}.0" for c, n in enumerate(np.bincount(top)) if n and c}
    shown = {row[0]: row[2] for row in cells(page, "#class-mistakes table:first-of-type")}
    assert shown == wrong


# ---- keyboard, themes, paper -------------------------------------------------------------------


def test_everything_is_reached_by_keyboard(opened: Open, file: Path) -> None:
    page = opened(file)

    def tab_to(what: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == what:
                return
        raise AssertionError(f"{what} is not reached")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("sort-few")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "sort-few"  # not lost by drawing anew
    assert page.locator("th[aria-sort]").inner_text().startswith("few")
    tab_to("pick-b-0-0")
    page.keyboard.press("Space")
    assert page.locator("#pick-b-0-0").get_attribute("aria-pressed") == "true"
    left_out = page.evaluate(
        """() => [...document.querySelectorAll('a, button, input, select, summary, .plot > svg')]
        .filter(e => e.tabIndex < 0).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert all("aria-label" in one for one in left_out)  # pictures without classes to browse
    page.locator("#head-tail svg").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "class 1" in page.locator("#head-tail .tip").inner_text()
    page.keyboard.press("Enter")
    assert page.get_by_label("Class", exact=True).input_value() == "class 1"


def test_every_control_has_a_name(opened: Open, file: Path) -> None:
    page = opened(file)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, [tabindex="0"], svg[role]')]
        .filter(e => !(e.ariaLabel || e.labels?.length || e.innerText?.trim()))
        .map(e => e.outerHTML.slice(0, 100))"""
    )
    assert unnamed == []
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(e => +e.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


WHITE = "rgb(255, 255, 255)"


def paper(page: Any) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_texts_have_contrast_in_both_themes(opened: Open, file: Path) -> None:
    page = opened(file)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        ratios = page.evaluate(CONTRAST)
        assert min(ratios.values()) >= 4.5, ratios
        assert (paper(page) == WHITE) == (scheme == "light")
        for name in ("light", "dark", "system"):
            page.locator("#theme").click()
            assert page.locator("#theme").inner_text() == f"Theme: {name}"
            assert (paper(page) == WHITE) == ((scheme if name == "system" else name) == "light")


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const [r, g, b] = style.getPropertyValue(name).trim().slice(1).match(/../g)
      .map((part) => parseInt(part, 16) / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return Object.fromEntries([["--ink", "--paper"], ["--soft", "--paper"], ["--accent", "--paper"],
    ["--good", "--paper"], ["--bad", "--paper"], ["--ink", "--raised"], ["--on-accent", "--accent"]]
    .map(([one, other]) => [one + other, ratio(one, other)]));
}"""


def test_narrow_screens_and_paper(opened: Open, file: Path) -> None:
    page = opened(file, color_scheme="dark", viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#head-tail .plot > svg").get_attribute("width") < "360"
    page.emulate_media(media="print")
    assert paper(page) == WHITE
    assert not page.locator("#search").is_visible()
    assert page.locator("#board").is_visible()
    assert page.locator("#head-tail .plot > svg").get_attribute("width") == "680"


# ---- runs and hostile texts --------------------------------------------------------------------


def test_runs_with_their_errors_and_configuration(opened: Open, made: Made, tmp_path: Path) -> None:
    study = Made()
    failed = failed_record("lift", 9, error="CUDA out of memory\nat step 3")
    study.records, study.predictions = [*made.records, failed], made.predictions
    page = opened(study.write(tmp_path / "page.html"))
    assert "out of memory" in page.locator("#failures").inner_text()
    assert "1 failed" in page.locator("#board").inner_text()
    page.get_by_label("Filter runs").fill("SAGE seed")
    details = page.locator("#run-list details")
    assert details.count() == 3
    details = details.nth(1)
    details.locator("summary").click()
    said = details.inner_text()
    assert re.search(r"lr\s+0.125", said)
    assert "glyph-1" in said and "2026-01-01T00:01:00" in said
    page.locator("#methods summary", has_text="sage").click()
    assert "reconstruction" in page.locator("#methods").inner_text()


TEXTS = (
    "<script>window.hacked = 1</script>", '"]]>', "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>", "\u202eevil\u2066", "x" * 300, "javascript:alert(1)",
    "{{7*7}} ${7*7} @@DATA@@", "a\u2028b\x1b[31m", "' onclick='window.hacked = 1", "שלום <b>",
    "__proto__", "constructor",
)  # fmt: skip


def test_hostile_names_are_shown_as_texts(opened: Open, tmp_path: Path) -> None:
    study = Made()
    for i, text in enumerate(TEXTS):
        names = tuple(f"{other} {c}" for c, other in enumerate(TEXTS))
        made = {
            "dataset": f"d {TEXTS[0]}", "backbone": f"b {TEXTS[4]}", "class_names": names,
            "notes": (text,), "key": f"{i}", "counts": (300, 200, 50, *range(20, 30)),
        }  # fmt: skip
        study.records.append(make_record("m", config={text: "0", "f": text}, **made))
        made |= {"key": f"{i}f", "config": {"f": f"{text}."}}
        study.records.append(failed_record("m", error=text, **made))
    page = opened(study.write(tmp_path / "page.html"))
    assert page.evaluate("window.hacked") is None
    shown = " ".join(page.locator("body").inner_text().split())
    for text in TEXTS:
        assert " ".join(visible(text).split()) in shown, text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", page.content())
    page.get_by_label("Class", exact=True).fill(visible(TEXTS[0]) + " 0")
    page.get_by_label("Class", exact=True).press("Enter")
    assert visible(TEXTS[0]) in page.locator("#class-facts").inner_text()
    for details in page.locator("#run-list details summary").all()[:4]:
        details.click()
    known = page.locator("body *").evaluate_all("all => [...new Set(all.map(e => e.localName))]")
    assert not {"img", "iframe", "object", "form"} & set(known)
    assert known.count("script") == 1
    assert page.locator("script").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


# ---- statistics ---------------------------------------------------------------------------------

IMAGES = {
    "balanced": [6] * 8,
    "few of some": [9, 7, 5, 3, 2, 1, 1, 1],
    "one alone": [12, 8, 8, 4, 4, 2, 0, 1],
    "none of the tail": [5, 5, 5, 5, 0, 0, 0, 0],
}


RUNS = {"one run": (1, 1), "two runs": (2, 1), "five runs": (5, 1), "splits": (2, 3)}
"""Runs and splits."""


def uneven() -> Made:
    """Two random methods, one better than the other, and one without randomness, on each set."""
    study = Made()
    for (name, images), (how, (runs, splits)) in itertools.product(IMAGES.items(), RUNS.items()):
        own = {"classes": 8, "per_class": images, "dataset": f"{name}, {how}"}
        for split in range(splits):
            for seed in range(runs):
                study.add("worse", seed, 0.4, split_seed=split, **own)
                study.add("better", seed, 0.8, split_seed=split, **own)
            study.add("fixed", 0, 0.5, split_seed=split, deterministic=True, **own)
    return study


COMPARED = """() => DATA.tables.flatMap((table) => ranked(table).flatMap((a) => ranked(table)
  .filter((b) => a.label < b.label).flatMap((b) => Object.entries(comparisonOf(table, a, b).metrics)
    .map(([key, m]) => [table.dataset, a.label, b.label, key, m.a, m.b, m.difference, m.low, m.high,
                        m.p, ...m.runs]))))"""


def test_intervals_are_those_of_the_suite(opened: Open, tmp_path: Path) -> None:
    study = uneven()
    tables = {table.dataset: table for table in build_tables(study.records)}
    file = tmp_path / "page.html"
    data = page_data(Content([*tables.values()], records=study.records, read=study.read))
    file.write_text(document(data), encoding="utf-8")
    shown = opened(file).evaluate(COMPARED)
    comparer = Comparer(study.read)
    expected = {}
    for name, table in tables.items():
        for a, b in itertools.combinations(sorted(table.rows, key=lambda row: row.label), 2):
            found = comparer.compare(table, a, b)
            same = balanced_is_overall(found)
            for key, i in found.intervals.items():
                if i is not None and not (same and key == "balanced"):
                    numbers = (i.a, i.b, i.difference, i.low, i.high, i.p_value())
                    expected[name, a.label, b.label, key] = [*numbers, *found.differences[key]]
    assert {tuple(one[:4]) for one in shown} == expected.keys()
    for one in shown:
        wanted, numbers = expected[tuple(one[:4])], one[4:]
        assert numbers[:5] == pytest.approx(wanted[:5], rel=1e-7, abs=1e-7), one
        assert numbers[5] == pytest.approx(wanted[5], rel=1e-6), one
        assert numbers[6:] == pytest.approx(wanted[6:], abs=1e-7), one


# ---- conformal sets ----------------------------------------------------------------------------


def test_conformal_sets_are_below_the_table_that_they_are_of(opened: Open, tmp_path: Path) -> None:
    records, arrays = with_probabilities()
    tables = build_tables(records)
    (found,) = conformal_tables(tables, lambda record: arrays[record.key], 90.0)
    file = tmp_path / "page.html"
    data = page_data(Content(tables, records=records, sets=[found]))
    file.write_text(document(data), encoding="utf-8")
    page = opened(file)
    assert page.locator("#leaderboard h3").inner_text() == found.title
    shown = cells(page, "#leaderboard table:not(#board)")
    assert shown == [
        [head.on_one_line, *(cell.text for cell in own)] for head, own in found.grid.lines
    ]
    assert found.notes[-1] in page.locator("#leaderboard").inner_text()


# ---- numbers -----------------------------------------------------------------------------------


def test_numbers_and_cells_are_written_as_python_writes_them(opened: Open, file: Path) -> None:
    rng = np.random.default_rng(0)
    values = [*(rng.random(500) * 100), *(np.arange(400) / 16), *(np.arange(300) / 20), 62.05]
    page = opened(file)
    for digits in (0, 1, 2):
        shown = page.evaluate(
            "([values, digits]) => values.map(v => fixed(v, digits))",
            [[*map(float, values)], digits],
        )
        assert shown == [f"{value:.{digits}f}" for value in values]
    given = ["=1+1", " @x", "-2", "+1+1", 'a"b,c', "line\nbreak", -3.5, None]
    shown = page.evaluate("values => values.map(csvCell)", given)
    assert shown == ["'=1+1", "' @x", "-2", "'+1+1", '"a""b,c"', '"line\nbreak"', "-3.5", ""]
