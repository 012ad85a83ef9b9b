"""The looks of rows: the same in every report, and never the same for two rows."""

from __future__ import annotations

from collections import Counter

import pytest

from methods.registry import METHODS
from reports.figures.drawing import Drawing
from reports.figures.looks import GREY, assign

SUITE = sorted(METHODS.entries())
PLUGINS = ("mine", "yours", "a_method", "other", "third")


def names(*methods: str) -> list[tuple[str, str]]:
    return [(method, method) for method in methods]


def test_the_methods_of_the_suite_differ_in_colour_or_dashes_and_in_marker() -> None:
    looks = assign(names(*SUITE))
    assert len(looks) == len(SUITE) > 10
    assert len({(look.colour, look.dashes) for look in looks.values()}) == len(SUITE)
    pairs = {(look.colour, look.marker, look.filled) for look in looks.values()}
    assert len(pairs) == len(SUITE)
    uses = Counter(look.colour for look in looks.values())
    assert max(uses.values()) <= 2 and len(uses) >= 20
    assert GREY.colour not in {look.colour for look in looks.values()}


@pytest.mark.parametrize("method", [*SUITE, "mine"])
def test_a_method_looks_the_same_in_every_report(method: str) -> None:
    (alone,) = assign(names(method)).values()
    variants = [(method, f"{method} (lr={lr})") for lr in (0.1, 0.2)]
    for report in (names(*SUITE, method), names(*SUITE[::2], method), [*names(method), *variants]):
        assert assign(report)[method, method] == alone
    # Without a row of the plain name, the first variant is the method's.
    assert assign(variants)[variants[0]] == alone
    assert assign(variants)[variants[1]] != alone


def test_two_plug_ins_and_many_variants_never_look_alike() -> None:
    report = names(*SUITE, *PLUGINS)
    report += [(method, f"{method} ({i})") for method in ("sage", "mine") for i in range(200)]
    looks = assign(report)
    assert len(looks) == len(report)
    assert len({(look.colour, look.marker, look.filled) for look in looks.values()}) == len(report)
    assert assign(report[::-1]) == looks
    few = assign(names(*PLUGINS))
    assert len({look.colour for look in few.values()}) == len(PLUGINS)
    assert len({(look.marker, look.filled) for look in few.values()}) == len(PLUGINS)


def test_a_report_of_more_rows_than_looks_is_still_drawn() -> None:
    report = [("m", f"m ({i})") for i in range(500)]
    assert len(assign(report)) == 500


class Row:
    def __init__(self, method: str, label: str) -> None:
        self.method, self.label = method, label


def test_a_figure_takes_its_looks_from_the_report() -> None:
    everything = [Row("m", f"m ({i})") for i in range(30)]
    drawing = Drawing(names=frozenset((row.method, row.label) for row in everything))
    looks = drawing.looks(everything)
    assert drawing.looks(everything[20:]) == looks[20:]
    # By itself, the first of the figure would look like the method.
    assert Drawing().looks(everything[20:])[0] == looks[0]
