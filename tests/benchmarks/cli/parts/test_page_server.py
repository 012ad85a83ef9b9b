"""The server of a page: what it answers, and to whom."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cli.parts import live_page
from benchmarks.cli.parts.live_page import LivePage
from benchmarks.cli.parts.page_server import PageServer, serving
from benchmarks.errors import UserError
from results.store import Store
from tests.benchmarks.cli.parts.page_servers import page_server
from tests.results.factory import failed_record, make_record, with_key


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    with page_server(tmp_path, monkeypatch) as server:
        yield server


def ask(server: PageServer, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )
    answer = connection.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_the_page_and_its_data_follow_the_folder(server: PageServer, tmp_path: Path) -> None:
    page = ask(server, "/")
    assert page.status == 200
    assert "connect-src 'self'" in page.text
    first = ask(server, "/data")
    assert json.loads(first.text)["tables"] == []
    assert json.loads(first.text)["live"] > 0
    tag = first.headers["ETag"]
    assert ask(server, "/data", If_None_Match=tag).status == 304
    store = Store(tmp_path)
    store.write(with_key(make_record("lift")), {})
    second = ask(server, "/data", If_None_Match=tag)
    assert second.status == 200
    assert second.headers["ETag"] != tag
    data = json.loads(second.text)
    assert [row["label"] for row in data["tables"][0]["rows"]] == ["lift"]
    store.write(failed_record("sage", error="boom"), None)
    data = json.loads(ask(server, "/data").text)
    assert data["news"].startswith("1 done, 1 failed")
    (store.folder / "0123.json").write_text("{}")
    assert "Ignored: " in json.loads(ask(server, "/data").text)["news"]


def test_records_of_two_sweeps_are_shown_with_a_word_on_it(
    server: PageServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    for protocol in ("paper", "equal"):
        store.write(with_key(make_record("lift", protocol=protocol)), {})
    data = json.loads(ask(server, "/data").text)
    assert "cannot share a table" in data["news"]
    assert len(data["tables"][0]["rows"]) == 2


def test_a_page_takes_a_small_share_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "_SHARE", 1e-9)
    page = LivePage(tmp_path)
    first = page.data()
    Store(tmp_path).write(with_key(make_record("lift")), {})
    assert page.data() == first


def test_nothing_else_is_served(server: PageServer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for path in ("/secret", "/../secret", "//secret", "/records/", "/data/", "/?x", "/%2e%2e/etc"):
        answer = ask(server, path)
        assert answer.status == 404
        assert "secret" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil", ""])
def test_a_page_of_another_site_gets_nothing(server: PageServer, host: str) -> None:
    answer = ask(server, "/data", Host=host)
    assert answer.status == 403
    assert "tables" not in answer.text
    for own in ("localhost", f"127.0.0.1:{server.port}", f"localhost:{server.port}"):
        assert ask(server, "/data", Host=own).status == 200


def test_others_may_ask_where_they_are_allowed_to(tmp_path: Path) -> None:
    with serving(LivePage(tmp_path), "0.0.0.0", 0) as server:
        assert server.named is None
    with serving(LivePage(tmp_path), "localhost", 0) as server:
        assert server.named is not None


def test_an_address_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(UserError, match="give another --host or --port"),
            serving(LivePage(tmp_path), "127.0.0.1", port),
        ):
            pass
    for host, port in (("127.0.0.1", 70_000), ("no such host", 0)):
        with (
            pytest.raises(UserError, match="Cannot listen at"),
            serving(LivePage(tmp_path), host, port),
        ):
            pass
