"""Labels that name rows of tables."""

from __future__ import annotations

import pytest

from benchmarks.errors import UserError
from reports.compare.rows import find_row
from tests.reports.compare.studies import Study, study


def test_a_variant_is_found_by_its_label_or_by_the_method_if_there_is_one() -> None:
    made = study()
    for method in ("zero_shot", "mine"):
        for text in ("names", "both"):
            made.add(method, 0, 0.3, config={"text": text})
    table = made.table()
    assert find_row(table, "sage").label == "sage"
    assert find_row(table, "zero_shot (text=both)").label == "zero_shot (text=both)"
    assert find_row(table, "zero") is None
    # By name alone, the row with the defaults; those of a plug-in that is not here are not known.
    assert find_row(table, "zero_shot").label == "zero_shot (text=names)"
    with pytest.raises(UserError, match=r"several variants .*'mine \(text=both\)'; 'mine"):
        find_row(table, "mine")


def test_a_setting_that_the_label_leaves_out_finds_the_row_too() -> None:
    """Labels name what is unusual among the variants of a table; a sweep is written before it."""
    made = Study()
    for guidance, lr in (("cross", 0.1), ("none", 0.1), ("none", 0.5)):
        made.add("mine", 0, 0.5, config={"guidance": guidance, "lr": lr, "widths": [1, 2]})
    table = made.table()
    assert [row.label for row in table.rows].count("mine") == 1
    for wanted, label in {
        "mine (guidance=none, lr=0.1)": "mine",
        "mine (lr=0.5)": "mine (lr=0.5)",
        "mine (widths=[1, 2], guidance=cross)": "mine (guidance=cross)",
    }.items():
        assert find_row(table, wanted).label == label
    assert find_row(table, "mine (lr=9)") is None
    assert find_row(table, "ncm (lr=0.5)") is None
    with pytest.raises(UserError, match="several variants"):
        find_row(table, "mine (lr=0.1)")


def test_the_variant_that_bears_the_name_alone_goes_first() -> None:
    made = Study()
    for guidance, seed in (("cross", 0), ("cross", 1), ("none", 0)):
        made.add("sage", seed, 0.5, config={"guidance": guidance, "lr": float(guidance == "none")})
    made.add("sage", 0, 0.5, config={"guidance": "cross", "lr": 3.0})
    made.add("sage", 0, 0.5, config={"guidance": "kv", "lr": 0.0})
    labels = [row.label for row in made.table().rows]
    assert "sage" in labels
    assert find_row(made.table(), "sage").label == "sage"
