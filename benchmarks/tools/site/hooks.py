"""Functions that MkDocs calls while it builds the site (`hooks` in mkdocs.yml)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.tools.site.cards import dataset_pages, method_pages
from benchmarks.tools.site.interface import MODULES, interface_pages
from benchmarks.tools.site.links import (
    PAGES,
    ROOT,
    led_to_the_site,
    place,
    repository_path,
    targets,
)

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_GENERATED = ("methods/", "datasets/", "api/")
"""Folders of the site whose pages are not in the repository."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the sections of the navigation that are named after them."""
    from benchmarks.datasets.registry import DATASETS
    from methods.registry import METHODS

    sections: dict[str, list[Any]] = {
        "Method cards": [{name: f"methods/{name}.md"} for name in sorted(METHODS.entries())],
        "Data-set cards": [{name: f"datasets/{name}.md"} for name in sorted(DATASETS.entries())],
        "Python interface": [{title: f"api/{module}.md"} for module, title in MODULES.items()],
    }
    for item in config.nav or []:
        ((title, pages),) = item.items()
        if pages == "generated":
            item[title] = sections[title]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the pages outside docs/ and the files that pages link to."""
    from mkdocs.structure.files import File

    for folder, pages in zip(
        _GENERATED, (method_pages(), dataset_pages(), interface_pages()), strict=True
    ):
        for name, text in pages.items():
            files.append(File.generated(config, f"{folder}{name}.md", content=text))
    for path, at in PAGES.items():
        files.append(File.generated(config, at, abs_src_path=str(ROOT / path)))
    while linked := _linked(files):
        for path in sorted(linked):
            files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead the links of a page to places of the site."""
    at = page.file.src_uri
    return markdown if at.startswith(_GENERATED) else led_to_the_site(markdown, repository_path(at))


def _linked(files: Files) -> set[str]:
    """Files of the repository that pages link to and that are not on the site yet."""
    linked: set[str] = set()
    for file in files.documentation_pages():
        if not file.src_uri.startswith(_GENERATED):
            linked.update(targets(file.content_string, repository_path(file.src_uri)))
    known = set(files.src_uris)
    return {path for path in linked if place(path) not in known and (ROOT / path).is_file()}
