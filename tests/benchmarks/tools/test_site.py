"""The documentation's site: generated pages, links, tables, and what MkDocs makes of the pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from benchmarks.datasets.registry import DATASETS
from benchmarks.tools.site import tables
from benchmarks.tools.site.cards import dataset_pages, escaped, method_pages
from benchmarks.tools.site.interface import MODULES
from benchmarks.tools.site.links import (
    PAGES,
    ROOT,
    led_to_the_site,
    place,
    repository_path,
    targets,
)
from methods.registry import METHODS

CONFIG = ROOT / "mkdocs.yml"
DOCS = [*PAGES, *(f"docs/{p.relative_to(ROOT / 'docs')}" for p in (ROOT / "docs").rglob("*.md"))]


class _Loader(yaml.SafeLoader):
    """Reads MkDocs' configuration, which may name Python objects."""


_LOADS_NOTHING: Any = lambda loader, suffix, node: suffix  # noqa: E731
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _LOADS_NOTHING)


def navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from navigation(value) if isinstance(value, list) else [value]


def test_every_page_of_docs_is_in_the_navigation_once() -> None:
    nav = list(navigation(yaml.load(CONFIG.read_text("utf-8"), _Loader)["nav"]))
    pages = {place(page) for page in DOCS}
    assert set(nav) - {"generated"} == pages, "put the page into `nav` of mkdocs.yml"
    assert nav.count("generated") == 3
    assert len(set(nav)) == len(nav) - 2


def test_the_tables_of_the_readme_are_those_of_the_registry() -> None:
    page = tables.PAGE.read_text("utf-8")
    assert tables.with_tables(page) == page, "run: python -m benchmarks.tools.site.tables --write"
    for name in METHODS.entries():
        assert f"\n| `{name}` | " in page
    stale = page.replace("| `lift` |", "| `left` |")
    assert tables.with_tables(stale) == page


def test_every_method_and_data_set_has_a_page() -> None:
    methods, datasets = method_pages(), dataset_pages()
    assert methods.keys() == METHODS.entries().keys()
    assert datasets.keys() == DATASETS.entries().keys()
    lift = methods["lift"]
    for words in ("arXiv 2309.10019", "| `lr` | `0.01` |", "@inproceedings{shi2024longtail",
                  "methods/lift.py", "Adapters in every block of a frozen CLIP ViT"):  # fmt: skip
        assert words in lift
    assert "reconstruction" in methods["sage"]
    assert "DATA\\_ROOT/cifar-100-python" in datasets["cifar100_lt"]
    assert "@techreport{krizhevsky2009learning" in datasets["cifar100_lt"]
    for page in (*methods.values(), *datasets.values()):
        assert str(ROOT) not in page
        for row in re.findall(r"^\| .*", page, re.M):
            assert row.count(" | ") in (1, 2)


def test_text_of_a_card_is_no_markup() -> None:
    assert escaped("a_b | `c_d|e` <f>\n*g*") == "a\\_b \\| `c_d\\|e` \\<f> \\*g\\*"


@pytest.mark.parametrize(
    ("page", "text", "wanted"),
    [
        ("docs/guide.md", "[a](data.md#x)", "[a](data.md#x)"),
        ("docs/guide.md", "[`a`](../README.md)", "[`a`](index.md)"),
        (
            "docs/guide.md",
            "[a](../configs/quick_start.yaml)",
            "[a](source/configs/quick_start.yaml)",
        ),
        ("docs/guide.md", "[`r/`](../configs/reproduce) x", "`r/` x"),
        ("README.md", "![a](docs/paper.png)", "![a](paper.png)"),
        ("README.md", "[a](https://a.org/b) [c](#d)", "[a](https://a.org/b) [c](#d)"),
        ("docs/tutorial/one.md", "[a](../data.md)", "[a](../data.md)"),
        ("docs/tutorial/one.md", "[a](../../CONTRIBUTING.md)", "[a](../contributing.md)"),
        ("docs/guide.md", "```\n[a](../README.md)\n```", "```\n[a](../README.md)\n```"),
    ],
)
def test_links_lead_to_places_of_the_site(page: str, text: str, wanted: str) -> None:
    assert led_to_the_site(text, page) == wanted


@pytest.mark.parametrize("page", DOCS)
def test_a_place_of_the_site_leads_back(page: str) -> None:
    assert repository_path(place(page)) == page
    for path in targets((ROOT / page).read_text("utf-8"), page):
        assert (ROOT / path).exists()


def test_modules_of_the_interface_exist() -> None:
    for module in MODULES:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


# ---- with MkDocs, which `make docs` installs -----------------------------------------------------

COUNTED = ("h1", "h2", "h3", "h4", "p", "li", "ul", "ol", "table", "tr", "td", "pre", "code", "img")


def elements(html: str) -> Counter[str]:
    found = Counter(re.findall(r"<(\w+)", html))
    return Counter({tag: found[tag] for tag in COUNTED})


@pytest.mark.parametrize("page", DOCS)
def test_a_page_has_the_same_parts_on_the_site_and_where_commonmark_is_shown(page: str) -> None:
    markdown = pytest.importorskip("markdown")
    text = (ROOT / page).read_text("utf-8")
    site = elements(markdown.markdown(text, extensions=["tables", "pymdownx.superfences"]))
    commonmark = elements(MarkdownIt("commonmark").enable("table").render(text))
    # Fenced code has a `code` element in one of them only.
    fences = len(re.findall(r"^ *```\w", text, re.M))
    assert site["code"] - commonmark["code"] in (0, -fences, fences)
    # Of a loose list, one puts every item into a paragraph and the other some.
    for tag in ("code", "p"):
        del site[tag], commonmark[tag]
    assert site == commonmark


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    for page in ("index", "methods/sage", "datasets/places_lt", "api/methods.base", "contributing"):
        assert (tmp_path / f"{page}.html").is_file()
