"""`list backbones --runs METHOD` and `--arch NAME`: what runs on which of open_clip's models.

Nothing is downloaded and no large model is built (`benchmarks/backbone/forms.py`,
`benchmarks/conformance/applicability.py`); importing torch and timm takes most of the time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.backbone.forms import Form


def print_runs(method: str, console: Console, *, as_json: bool) -> None:
    """Print the pretrained weights of open_clip that a method runs on.

    Args:
        method: a registered name.
        console: where to print.
        as_json: print the answer for programs instead.

    Raises:
        UserError: no such method.
    """
    from benchmarks.backbone.forms import pretrained
    from benchmarks.cli.parts.json_answer import print_json
    from benchmarks.cli.parts.narrow import Head, NarrowTable
    from benchmarks.conformance.applicability import needs, reason

    needs(method)  # refuses an unknown name before anything slow
    found = [(form, reason(method, form)) for form in pretrained()]
    if as_json:
        weights = [
            {"name": name, "family": form.family, "reason": why}
            for form, why in found
            for name in form.names
        ]
        print_json({"method": method, "weights": weights})
        return
    runs = [form for form, why in found if not why]
    total = sum(len(form.tags) for form, _ in found)
    title = f"{method} runs on {_count(runs)} of {total} pretrained weights of open_clip"
    heads = (Head("architecture", whole=True), Head("family", drop=1), Head("weights"))
    table = NarrowTable(heads, title)
    for form in runs:
        table.add(form.arch, form.family, ", ".join(form.tags))
    console.print(table)
    others = Counter({form.family: 0 for form, why in found if why})
    for form, why in found:
        if why:
            others[form.family] += len(form.tags)
    if others:
        counts = ", ".join(f"{family} {count}" for family, count in others.items())
        example = next(form.arch for form, why in found if why)
        console.print(f"\nNot on {total - _count(runs)}: {counts}.")
        console.print(f"{example}: {dict((form.arch, why) for form, why in found)[example]}.")


def _count(forms: list[Form]) -> int:
    return sum(len(form.tags) for form in forms)


def print_arch(arch: str, console: Console, *, as_json: bool) -> None:
    """Print the methods that run on an architecture of open_clip, and why others do not.

    Args:
        arch: its name, as in ARCH/TAG.
        console: where to print.
        as_json: print the answer for programs instead.

    Raises:
        UserError: no such architecture.
    """
    from benchmarks.backbone import forms, open_clip_tables
    from benchmarks.cli.parts.json_answer import print_json
    from benchmarks.cli.parts.narrow import Head, NarrowTable
    from benchmarks.conformance.applicability import reason
    from benchmarks.errors import did_you_mean
    from methods.registry import METHODS

    known = open_clip_tables.models()
    if arch not in known:
        raise did_you_mean("architecture", arch, known)
    form = forms.form(arch)
    reasons = {method: reason(method, form) for method in sorted(METHODS.entries())}
    if as_json:
        methods: list[dict[str, Any]] = [
            {"name": method, "reason": why} for method, why in reasons.items()
        ]
        print_json({"arch": arch, "family": form.family, "tags": form.tags, "methods": methods})
        return
    weights = ", ".join(form.tags) or "none"
    title = f"Methods on {arch} ({form.family}; pretrained weights: {weights})"
    table = NarrowTable((Head("method", whole=True), Head(""), Head("")), title)
    for method, why in reasons.items():
        table.add(method, "not applicable" if why else "runs", why)
    console.print(table)
