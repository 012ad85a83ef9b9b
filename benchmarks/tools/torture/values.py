"""Texts and values that a program may trip over."""

from __future__ import annotations

from typing import Any

MARK = "canary_7f3a"
"""Part of every text that would be code if it were run, and the name of the file it would make."""
TEXTS = (
    "", " ", "x", "lift", "0", "-1", "1e999", "nan", "-inf", "0x10", "9" * 400, "²", "true",
    "null", "~", "none", "..", "../../x", "/", "/proc/nope/x", "/dev/null", "/dev/full",
    "no/such/file.yaml", "~nosuchuser/x", "a" * 300, "b" * 5000, "\x1b[31mred",
    "\x1b]0;title\x07", "\x9b1m", "\x7f\x08", "\u202egpj", "\u2066x\u2069", "\udcff\ud800",
    "line\nbreak\r\n", "\u2028", "tab\t", "[red]x[/red]", "[/]", "[link=http://h]x",
    "$\\frac{1}{$", "\\input{/etc/passwd}", "=cmd|'/C calc'!A0", "@SUM(1)",
    "<script>alert(1)</script>", "a|b`c", "{}", "{0.__class__}", "%s%n", "数据 é 👩‍👧", "con",
    "a,b;c", "-", "--", "--out", "=", "a=b", "a.b=c", "lift.lr=x", "lift.epochs=-1",
    "ncm.metric=\x1b[0m", "glyphs100_lt", "cifar100_lt_ir1e9", "glyphs100_lt_ir0", "glyph",
    "RN50/openai", "local-dir:.", "RN50/" + "c" * 300, "local-dir:" + "d" * 300, "hf-hub:x",
    "hf-hub:" + "e" * 300, "x.yaml", "1/0", "0/1", "9/9",
    f"__import__('os').system('touch {MARK}')", f"$(touch {MARK})", f"`touch {MARK}`",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, -0.0, 1e300, 1e999, float("nan"), [], {},
    [[]], [None], {"a": {"b": []}}, {"": ""}, [1, "a", None], list(range(2000)),
)  # fmt: skip
YAML_TEXTS = (
    f"!!python/object/apply:os.system ['touch {MARK}']\n", f"a: !!python/name:{MARK}\n",
    "- " * 3000, "{" * 500, "[" * 20_000, "&a [*a, *a]\n", "a: &a {<<: *a}\n", "\t- x\n",
    "? [x]\n: y\n", "---\n---\n",
    "&a ['x','x','x','x','x','x','x','x','x']\n- &b [*a,*a,*a,*a,*a,*a,*a,*a]\n", "2001-13-99\n",
    "x: 0o9999999999999999\n", "1:2:3:4:5:6:7:8:9\n", "!!binary zzz\n", "!!set {a, b}\n",
    "%YAML 9.9\n", "x: !!int 'a'\n", "x: !!timestamp '9999-99-99'\n", "<<: 1\n",
    "\ufeffmethods: [ncm]\n", "x: 1e\n",
)  # fmt: skip
