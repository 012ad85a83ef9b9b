"""Headless Chromium, if there is one, and pages opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reports.page.made import Made

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium, such as Debian's package `chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright for Python")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(chromium: Any) -> Iterator[Open]:
    """A function that opens an address; the page must print no error and load nothing else."""
    contexts, faults = [], []

    def open_page(address: Path | str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        where = address.as_uri() if isinstance(address, Path) else address
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))

        def request(asked: Any) -> None:
            if not asked.url.startswith((where, "blob:", "data:")):
                faults.append(f"asked for {asked.url}")

        page.on("request", request)
        page.goto(where)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def made() -> Made:
    """Three methods with three seeds, one without randomness, one that failed."""
    study = Made()
    for seed in range(3):
        study.add("linear_probe", seed, 0.55, cost_fit_s=4.0)
        study.add("lift", seed, 0.7, cost_fit_s=60.0, notes=("a note of the author",))
        study.add("sage", seed, 0.62, cost_fit_s=200.0, config={"lr": 0.125})
    study.add("ncm", 0, 0.5, deterministic=True, cost_fit_s=1.0)
    return study


@pytest.fixture(scope="module")
def file(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that study."""
    return made.write(tmp_path_factory.mktemp("page") / "report.html")
