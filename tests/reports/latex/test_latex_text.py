"""Texts escaped for LaTeX: nothing is run, nothing is lost, and long words can be broken."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.latex.text import BREAK, breakable, escape_latex, parts, shortened
from tests.reports.test_hostile_texts import TEXTS

COMMANDS = {
    "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
    "char", "ldots", "penalty", "textsuperscript", "textsubscript",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b % c & d # e $", r"a\_b \% c \& d \# e \$"),
        ("~ ^ \\ { }", r"\textasciitilde{} \textasciicircum{} \textbackslash{} \{ \}"),
        ('<a> | "b" `c\'', r"\textless{}a\textgreater{} \textbar{} \char34{}b\char34{} `c'"),
        ("a--b --- ''x'' ``y`` 1,,2", r"a-{}-b -{}-{}- '{}'x'{}' `{}`y`{}` 1,{},2"),
        ("naïve Ångström Łódź š ő", r"na\"{i}ve \r{A}ngstr\"{o}m \L{}\'{o}d\'{z} \v{s} \H{o}"),
        ("ế Ǻ", r"\'{\^{e}} \'{\r{A}}"),
        ("λ Ω α Α ο ς µ", r"$\lambda$ $\Omega$ $\alpha$ A o $\varsigma$ $\mu$"),
        ("± × – — … ≤ − †", r"$\pm$ $\times$ -- --- \ldots{} $\leq$ $-$~$\dagger$"),
        ("ﬁ ½ x² H₂ ＝", r"fi 1/2 x\textsuperscript{2} H\textsubscript{2} ="),
        ("数", r"\textless{}U+6570\textgreater{}"),
        ("👩", r"\textless{}U+1F469\textgreater{}"),
        ("[2cm] x", "{[}2cm] x"),
        ("* x [y]", "{*} x [y]"),
        ("stale †", r"stale~$\dagger$"),
        (" two\n lines\t", "two lines"),
        ("\x1b[0m", r"\textbackslash{}x1b[0m"),
        ("", ""),
    ],
)
def test_a_character_is_printed_as_it_is_or_as_its_code(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


def check(text: str) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii() and escaped.isprintable()
    escaped = re.sub(r"~(?=\$\\d?dagger\$)", " ", escaped)
    rest = re.sub(r"\\(?:[A-Za-z]+)(?:\d+)?\{\}|\$\\[A-Za-z]+\$|\$-\$|\$\^\\circ\$", "", escaped)
    rest = re.sub(r"\\text(?:super|sub)script\{[^{}]*\}|\\[{}_&%#$]", "", rest)
    while rest != (rest := re.sub(r"\\[`'^~=\".a-zA-Z]\{[a-zA-Z]?\}", "", rest)):
        pass  # an accent on a letter, and one on that
    rest = re.sub(r"^\{[\[*]\}|\{\}", "", rest)
    assert not set("\\{}_&%#$^~") & set(rest), rest
    assert escaped[:1] not in ("[", "*")


@pytest.mark.parametrize("text", [*TEXTS, *map(chr, range(32, 127)), "\x7f", "\u0300", "ﬁ½²"])
def test_latex_runs_nothing_of_a_text(text: str) -> None:
    check(text)
    named = set(re.findall(r"\\([A-Za-z]{2,})", breakable(text)))
    assert {name for name in named if not re.search(rf"\$\\{name}\$", escape_latex(text))} <= (
        COMMANDS
    )


@given(st.text(max_size=40))
def test_no_text_is_markup(text: str) -> None:
    check(text)
    assert breakable(text).replace(BREAK, "") == escape_latex(text)


@given(st.text(max_size=80))
def test_the_parts_are_the_text(text: str) -> None:
    assert "".join(parts(text)).split() == "".join(parts(text)).strip().split()
    assert breakable(text).count(BREAK) == sum(not part.endswith(" ") for part in parts(text)[:-1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logit_adjustment (mode=posthoc)", ["logit_", "adjustment ", "(mode=", "posthoc)"]),
        ("lr=0.25, x/y.z", ["lr=", "0.25, ", "x/", "y.", "z"]),
        ("internationalisation", ["internationalisation"]),
        ("x" * 30, ["x" * 12, "x" * 12, "x" * 6]),
        ("(a), (b).", ["(a), ", "(b)."]),
        ("a b †‡", ["a ", "b †‡"]),
        ("数" * 5, ["数" * 3, "数" * 2]),
    ],
)
def test_lines_break_behind_signs_and_within_very_long_words(
    text: str, expected: list[str]
) -> None:
    assert parts(text) == expected


def test_of_what_is_very_long_both_ends_are_printed() -> None:
    assert escape_latex("a" * 100 + "b" * 100) == "a" * 80 + r" \ldots{} " + "b" * 80
    words = " ".join(["word"] * 100)
    assert escape_latex(words) == words
    assert shortened(words) == f"{words[:80]} … {words[-80:]}"
    assert shortened("short") == "short"
