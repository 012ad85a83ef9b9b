"""A small server of one page: the page itself and its data, and no file of the disk."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from benchmarks.errors import UserError


class Page(Protocol):
    """The page that is served."""

    def html(self) -> bytes:
        """The whole page."""

    def data(self) -> tuple[bytes, str]:
        """The data as JSON, and a tag that changes with them."""


class PageServer(ThreadingHTTPServer):
    """The server of a page.

    Args:
        page: the page.
        host: address to listen at.
        port: port to listen at, 0 for any free one.
    """

    daemon_threads = True

    def __init__(self, page: Page, host: str, port: int) -> None:
        self.page = page
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Answer)
        self.port = int(self.server_address[1])
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.port}/"
        # A page of another site may let its own name lead here (DNS rebinding): whoever asks must
        # name this address. Where others may ask, they know the machine by names that we do not.
        loopback = _is_loopback(host)
        self.named = {shown, "localhost", "127.0.0.1", "[::1]"} if loopback else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the error of an answer, but none about a reader that is gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(page: Page, host: str, port: int) -> Iterator[PageServer]:
    """A server that listens; the caller runs it.

    Raises:
        UserError: the address cannot be listened at.
    """
    try:
        server = PageServer(page, host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"Cannot listen at {host}, port {port} ({reason}): give another --host or --port."
        ) from error
    try:
        yield server
    finally:
        server.server_close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Answer(BaseHTTPRequestHandler):
    """Answers to `/` and `/data`."""

    server: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request."""
        named = (self.headers.get("Host") or "").removesuffix(f":{self.server.port}")
        if self.server.named is not None and named not in self.server.named:
            self._send(HTTPStatus.FORBIDDEN, b"another host is meant\n", "text/plain")
        elif self.path == "/":
            self._send(HTTPStatus.OK, self.server.page.html(), "text/html")
        elif self.path == "/data":
            data, tag = self.server.page.data()
            if self.headers.get("If-None-Match") == tag:
                self._send(HTTPStatus.NOT_MODIFIED, b"", "application/json", tag)
            else:
                self._send(HTTPStatus.OK, data, "application/json", tag)
        else:
            self._send(HTTPStatus.NOT_FOUND, b"nothing here\n", "text/plain")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing: a page asks every few seconds."""
