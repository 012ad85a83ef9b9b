"""Notes of the runs of a row, and of several rows, as one line."""

from __future__ import annotations

import pytest

from reports.aggregate import build_tables
from reports.merging import merged
from results.schema import Record, Tuning
from tests.results.factory import failed_record, make_record


def footnotes(records: list[Record]) -> list[str]:
    (table,) = build_tables(records)
    return list(table.footnotes)


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        (["4% of 100", "11% of 100", "9% of 100"], "4 to 11% of 100"),
        (["cosine -0.010, 3 classes", "cosine -0.012, 3 classes"],
         "cosine -0.012 to -0.010, 3 classes"),
        (["tried to allocate 1,024 MiB", "tried to allocate 512 MiB"],
         "tried to allocate 512 to 1,024 MiB"),
        (["epoch 3 of 5", "epoch 3 of 5"], "epoch 3 of 5"),
    ],
)  # fmt: skip
def test_texts_that_differ_in_numbers_become_one(runs: list[str], found: str) -> None:
    assert merged([[text] for text in runs]) == [[found]] * len(runs)


@pytest.mark.parametrize(
    "runs",
    [
        [["glyphs100_lt"], ["glyphs50_lt"]],  # names
        [["ViT-B/16"], ["ViT-B/32"]],
        [["torch 2.6.0"], ["torch 2.7.1"]],  # versions
        [["epoch 1: loss 3", "epoch 2: loss 4"], ["epoch 1: loss 3"]],  # several in one run
        [["a"], ["b"]],
        [[], ["1"]],
    ],
)
def test_other_texts_stay(runs: list[list[str]]) -> None:
    assert merged(runs) == runs


def test_the_notes_of_seeds_are_one_line() -> None:
    records = [make_record(seed=s, notes=(f"{n} classes have no text", "ours"))
               for s, n in enumerate((3, 5))]  # fmt: skip
    found = footnotes(records)
    assert "lift: 3 to 5 classes have no text" in found
    assert found.count("lift: ours") == 1


def test_failed_seeds_and_rows_that_failed_alike_are_one_line() -> None:
    records = [
        failed_record("lift", s, f"tried to allocate {mb} MiB (see logs/{s}ab.txt)")
        for s, mb in enumerate((20, 30))
    ]
    records += [
        failed_record(m, error="serves multi-label data only", status="not_applicable")
        for m in ("labels", "lmpt")
    ]
    assert [line for line in footnotes(records) if "‡" in line] == [
        "labels, lmpt ‡: not applicable: serves multi-label data only",
        "lift ‡: 2 of 2 runs failed (seeds 0, 1): tried to allocate 20 to 30 MiB",
    ]


def test_remarks_for_the_author_are_no_footnotes() -> None:
    found = footnotes([make_record(details=("largest cosine 0.3",), notes=("ours",))])
    assert not [line for line in found if "cosine" in line]
    assert "lift: ours" in found


def test_the_largest_group_of_a_budget_is_the_rest() -> None:
    records = [make_record(f"m{i}", cost_epochs=5) for i in range(4)]
    records += [make_record("z", cost_epochs=0)]
    assert "Unequal epochs: 0 (z); 5 (all others)." in footnotes(records)


def test_recipes_are_one_line_for_each_source() -> None:
    def tuned(method: str, *fields: str, origin: str = "tuned-on-x, 8 trials") -> Record:
        note = f"{', '.join(fields)} from a recipe: {origin}"
        return make_record(method, tuning=Tuning(origin, 8, fields), notes=(note, "ours"))

    found = footnotes([
        tuned("a", "lr"), tuned("b", "lr", "tau"), tuned("c", "lr"),
        tuned("d", "lr", origin="tuned-on-y, 8 trials"),
    ])  # fmt: skip
    assert [line for line in found if "recipe" in line] == [
        "From recipes (tuned-on-x, 8 trials): lr (a, c); lr, tau (b).",
        "From recipes (tuned-on-y, 8 trials): lr (d).",
    ]
    assert "All rows: ours" in found
