"""A Hugging Face hub of data sets on this machine, as far as its client asks for it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files of the hub, and the requests that it got."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """USER/NAME -> path -> content."""
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """Tokens of the requests that change something."""
    private: dict[str, bool] = field(default_factory=dict)
    """USER/NAME -> whether it was made so."""
    url: str = ""


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(b"")

        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            if self.command == "POST":
                hub.tokens.add(self.headers.get("Authorization", ""))
            status, kind, content = answer(hub, self.command, path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{git_hash(content)}"')
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def answer(hub: Hub, command: str, path: str, body: bytes) -> tuple[int, str, bytes]:
    """Status, kind and content of the answer to a request."""
    if path == "/api/repos/create":
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        hub.files.setdefault(name, {})
        hub.private.setdefault(name, asked.get("private") or asked.get("visibility") == "private")
        return as_json({"url": f"{hub.url}/datasets/{name}", "name": name})
    if path == "/api/validate-yaml":
        return as_json({"errors": [], "warnings": []})
    start, _, rest = path.lstrip("/").removeprefix("api/").partition("/")
    name = "/".join(rest.split("/")[:2])
    rest = rest[len(name) :].lstrip("/")
    files = hub.files.get(name)
    if start != "datasets" or files is None:
        return 404, "text/plain", b"no such repository"
    what, _, rest = rest.partition("/")
    if what in ("", "revision"):
        siblings = [{"rfilename": file} for file in files]
        return as_json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False})
    if what == "tree":
        return as_json(
            [
                {"type": "file", "path": p, "size": len(c), "oid": git_hash(c)}
                for p, c in files.items()
            ]
        )
    if what == "preupload":
        asked = json.loads(body)["files"]
        modes = [{"path": f["path"], "uploadMode": "regular"} | IGNORED for f in asked]
        return as_json({"files": modes})
    if what == "commit":
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        url = f"{hub.url}/datasets/{name}/commit/{COMMIT}"
        return as_json({"commitUrl": url, "commitOid": COMMIT, "success": True})
    if what == "resolve":
        file = rest.partition("/")[2]
        if file in files:
            return 200, "application/octet-stream", files[file]
    return 404, "text/plain", b"not here"


IGNORED = {"shouldIgnore": False}


def as_json(value: Any) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(value).encode()


def lead_client_to(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's own client ask this hub, with a cache of its own."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
