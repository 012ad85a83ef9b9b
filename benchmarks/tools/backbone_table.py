"""The table in docs/methods.md of what runs on which of open_clip's models.

python -m benchmarks.tools.backbone_table            # prints it
python -m benchmarks.tools.backbone_table --write    # replaces it in the page
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.backbone.forms import PARTS, pretrained
from benchmarks.conformance.applicability import needs
from methods.registry import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
_START, _END = "<!-- backbone_table -->\n", "<!-- end -->\n"
_HEADS = {"blocks": "adapters in its blocks", "prompts": "learned prompts"}


def table() -> str:
    """The table in Markdown, with the methods that need a part of a backbone in its head."""
    methods = {part: [m for m in sorted(METHODS.entries()) if part in needs(m)] for part in PARTS}
    heads = [f"{_HEADS[part]} ({', '.join(f'`{m}`' for m in methods[part])})" for part in PARTS]
    lines = [("image tower", "pretrained weights", *heads), ("---", *["---:"] * (1 + len(PARTS)))]
    forms = pretrained()
    families = list(dict.fromkeys(form.family for form in forms))
    for shown, members in [(f, {f}) for f in families] + [("all", set(families))]:
        some = [form for form in forms if form.family in members]
        counts = [sum(len(form.tags) for form in some)]
        counts += [sum(len(form.tags) for form in some if part in form.parts) for part in PARTS]
        lines.append((shown, *(str(count) if count else "–" for count in counts)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_table(page: str) -> str:
    """The text of the page with the present table in the place of its own."""
    before, _, rest = page.partition(_START)
    _, _, after = rest.partition(_END)
    return f"{before}{_START}{table()}{_END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_table(PAGE.read_text("utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(table())
