"""The page of a running sweep: newer data come in, and the reader's choices stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cli.parts import live_page
from benchmarks.cli.parts.page_server import PageServer
from results.store import Store
from tests.benchmarks.cli.parts.page_servers import page_server
from tests.reports.page.conftest import Open
from tests.reports.page.made import Made


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    monkeypatch.setattr(live_page, "ASKED_S", 0.05)
    with page_server(tmp_path, monkeypatch) as server:
        yield server


def test_rows_come_in_and_choices_stay(opened: Open, server: PageServer, tmp_path: Path) -> None:
    page = opened(server.address)
    page.get_by_text("There is no record yet").wait_for()
    made, store = Made(), Store(tmp_path)

    def finish(method: str, accuracy: float) -> None:
        record = made.add(method, 0, accuracy, deterministic=True)
        store.write(record, made.predictions[record.key])

    finish("ncm", 0.4)
    finish("lift", 0.7)
    rows = page.locator("#board tbody tr")
    rows.nth(1).wait_for()
    page.get_by_role("button", name="compare ncm as A").click()
    page.get_by_label("Filter rows").fill("m")
    page.get_by_label("Class", exact=True).fill("class 5")
    page.get_by_label("Class", exact=True).press("Enter")
    page.get_by_label("Filter rows").focus()
    page.locator("#runs summary").first.click()
    finish("prompts", 0.9)  # the best of all, which would else be chosen
    page.get_by_text("3 runs, 3 rows").wait_for()
    assert "3 done" in page.locator("#news").inner_text()
    assert [text.split()[0] for text in rows.all_inner_texts()] == ["prompts", "ncm"]
    assert page.get_by_label("A", exact=True).input_value() == "ncm"
    assert page.get_by_label("B", exact=True).input_value() == "lift"
    assert page.get_by_label("Class", exact=True).input_value() == "class 5"
    assert page.get_by_label("Filter rows").input_value() == "m"
    assert page.locator("#runs details[open]").count() == 1
