"""Downloads from a local server: success and failures."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.datasets.files.fetch import Archive, Source, fetch
from benchmarks.errors import DataError, DataMissing, UserError

LIST = b"train/a/1.jpg 0\n" * 100
SHA = f"sha256:{hashlib.sha256(LIST).hexdigest()}"


class _Handler(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes]

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name.startswith("to-"):
            self.send_response(302)
            self.send_header("Location", name.removeprefix("to-"))
            self.end_headers()
            return
        data = self.files.get(name.removeprefix("short-").removeprefix("endless-"))
        if data is None:
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        if not name.startswith("endless-"):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if name.startswith("short-") else data)

    def log_message(self, *_: object) -> None:
        pass


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("kit/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return out.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return out.getvalue()


MEMBERS = {
    "kit/a/1.txt": b"one",
    "kit/b/2.txt": b"two",
    "kit/../../../../evil.txt": b"x",
    "readme": b"r",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    _Handler.files = {
        "list.txt": LIST,
        "kit.tar.gz": _tar(MEMBERS),
        "kit.zip": _zip(MEMBERS),
        "bad.tar.gz": (packed := _tar(MEMBERS))[: len(packed) // 2],
        "bad.zip": b"PK\x03\x04 nothing of the kind",
    }
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_file_with_the_known_checksum_is_kept(server: str, tmp_path: Path) -> None:
    message = fetch(Source("list.txt", f"{server}/list.txt", SHA), tmp_path / "new" / "places_lt")
    assert message == "list.txt: sha256 as expected"
    assert files_in(tmp_path) == ["new/places_lt/list.txt"]
    assert (tmp_path / "new/places_lt/list.txt").read_bytes() == LIST


def test_md5_is_checked_as_well(server: str, tmp_path: Path) -> None:
    sums = f"md5:{hashlib.md5(LIST).hexdigest()}"
    assert "md5 as expected" in fetch(Source("l.txt", f"{server}/list.txt", sums), tmp_path)


def test_an_unknown_checksum_is_computed_and_reported(server: str, tmp_path: Path) -> None:
    message = fetch(Source("list.txt", f"{server}/list.txt"), tmp_path)
    assert hashlib.sha256(LIST).hexdigest() in message
    assert "unverified" in message


@pytest.mark.parametrize(
    ("name", "checksum", "error", "message"),
    [
        ("list.txt", f"sha256:{'0' * 64}", DataError, "not the expected file"),
        ("short-list.txt", SHA, DataMissing, "could not be downloaded"),
        ("short-list.txt", None, DataMissing, "could not be downloaded"),
        ("nowhere.txt", SHA, DataMissing, "404"),
    ],
)
def test_a_failed_download_gives_one_line_and_leaves_nothing(
    name: str, checksum: str | None, error: type, message: str, server: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        fetch(Source("list.txt", f"{server}/{name}", checksum), tmp_path / "made" / "for_it")
    text = str(caught.value)
    assert message in text
    assert f"{server}/{name}" in text
    assert error is DataError or f"put list.txt into {tmp_path / 'made' / 'for_it'} by hand" in text
    assert "\n" not in text
    assert not (tmp_path / "made").exists()


def test_a_server_that_does_not_respond(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataMissing, match="could not be downloaded"):
        fetch(Source("list.txt", f"http://127.0.0.1:{port}/list.txt"), tmp_path)


def test_a_large_download_is_announced(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(Source("list.txt", f"{server}/list.txt", SHA, megabytes=1.5), tmp_path)
    assert not caplog.text
    fetch(Source("list.txt", f"{server}/list.txt", SHA, megabytes=1999.6), tmp_path)
    assert f"Fetching {server}/list.txt (2,000 MB)." in caplog.text


def test_an_earlier_file_survives_a_failure(server: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("mine")
    with pytest.raises(DataError):
        fetch(Source("list.txt", f"{server}/list.txt", f"sha256:{'0' * 64}"), tmp_path)
    assert files_in(tmp_path) == ["list.txt"]
    assert (tmp_path / "list.txt").read_text() == "mine"


@pytest.mark.parametrize("packed", ["kit.tar.gz", "kit.zip"])
def test_one_part_of_an_archive_is_extracted(packed: str, server: str, tmp_path: Path) -> None:
    fetch(Archive(packed, f"{server}/{packed}", holds="kit/a"), tmp_path)
    assert files_in(tmp_path) == ["kit/a/1.txt"]
    fetch(Archive(packed, f"{server}/{packed}", holds="kit/b"), tmp_path)
    assert files_in(tmp_path) == ["kit/a/1.txt", "kit/b/2.txt"]


@pytest.mark.parametrize("packed", ["kit.tar.gz", "kit.zip"])
def test_an_archive_cannot_write_elsewhere(packed: str, server: str, tmp_path: Path) -> None:
    root = tmp_path / "deep" / "er"
    fetch(Archive(packed, f"{server}/{packed}", holds="kit"), root)
    assert files_in(tmp_path) == ["deep/er/kit/a/1.txt", "deep/er/kit/b/2.txt"]


@pytest.mark.parametrize(
    ("packed", "holds", "message"),
    [
        ("bad.tar.gz", "kit", "damaged archive"),
        ("bad.zip", "kit", "damaged archive"),
        ("kit.zip", "other", "does not contain other"),
        ("kit.tar.gz", "other", "does not contain other"),
    ],
)
def test_a_wrong_or_damaged_archive(
    packed: str, holds: str, message: str, server: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        fetch(Archive(packed, f"{server}/{packed}", holds=holds), tmp_path)
    assert not files_in(tmp_path)


def test_a_folder_that_cannot_be_written_to(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write to"):
        fetch(Source("list.txt", f"{server}/list.txt", SHA), tmp_path / "file" / "folder")


# ---- attacks -------------------------------------------------------------------------------------


def _refused(source: Source, folder: Path, error: type[UserError], says: str) -> None:
    """Fetch a source that is refused in one line and leaves nothing."""
    with pytest.raises(error, match=says) as caught:
        fetch(source, folder / "target")
    assert "\n" not in str(caught.value)
    assert not (folder / "target").exists()


def test_only_addresses_of_the_web_are_fetched(server: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(LIST)
    for url in ("data:,x", "ftp://127.0.0.1/x", "/etc/passwd"):
        _refused(Source("l.txt", url, SHA), tmp_path, DataMissing, "not an address of the web")
    _refused(
        Source("l.txt", f"{server}/to-file://{tmp_path}/secret", SHA), tmp_path, DataMissing, "302"
    )


def test_another_server_is_followed_only_with_a_checksum(server: str, tmp_path: Path) -> None:
    other = server.replace("127.0.0.1", "localhost")
    url = f"{server}/to-{other}/list.txt"
    _refused(Source("l.txt", url), tmp_path, DataMissing, "points to http://localhost, and no")
    assert "as expected" in fetch(Source("l.txt", url, SHA), tmp_path / "a")
    here = f"{server}/to-{server}/list.txt"
    assert "unverified" in fetch(Source("l.txt", here), tmp_path / "b")


def test_a_download_beyond_its_declared_size(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Handler.files["large"] = bytes(3 * 10**6)
    says = "more than 2,100,000 bytes arrived"
    for name in ("large", "endless-large"):
        _refused(Source("l", f"{server}/{name}", SHA, 1.0), tmp_path, DataMissing, says)
    monkeypatch.setattr("benchmarks.datasets.files.fetch._UNKNOWN_MB", 1)
    _refused(Source("l", f"{server}/large"), tmp_path, DataMissing, "more than 1,000,000 bytes")


def _archive(server: str, name: str, data: bytes) -> Archive:
    _Handler.files[name] = data
    checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Archive(name, f"{server}/{name}", checksum, holds="kit")


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("one name twice", r"two members are called kit/a.txt"),
        ("names that differ in case", r"two members are called kit/A.TXT"),
        ("a bomb", "many times larger than the archive"),
    ],
)
def test_an_archive_that_attacks(
    server: str, tmp_path: Path, form: str, case: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.datasets.files.fetch.MB", 10_000)
    names = {"one name twice": ["kit/a.txt"] * 2, "a bomb": ["kit/a.txt"]}.get(
        case, ["kit/a.txt", "kit/A.TXT"]
    )
    data = bytes(3 * 10**6) if case == "a bomb" else b"x"
    out = io.BytesIO()
    if form == "tar":
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of one name twice
            for name in names:
                packed.writestr(name, data)
    _refused(_archive(server, f"evil.{form}", out.getvalue()), tmp_path, DataError, says)


@pytest.mark.parametrize("kind", ["hard link", "device", "pipe", "absolute", "up", "long"])
def test_members_that_are_no_files_of_the_folder(server: str, tmp_path: Path, kind: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        good = tarfile.TarInfo("kit/good")
        tar.addfile(good)
        bad = tarfile.TarInfo("kit/bad")
        bad.linkname = "/etc/passwd"
        types = {"hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
        bad.type = types.get(kind, tarfile.REGTYPE)
        if kind in ("absolute", "up", "long"):
            bad.name = {"absolute": f"{tmp_path}/bad", "up": "kit/../../bad", "long": "kit/" * 99}[
                kind
            ]
        tar.addfile(bad)
    fetch(_archive(server, f"{kind.replace(' ', '-')}.tar", out.getvalue()), tmp_path / "target")
    found = files_in(tmp_path)
    assert [name for name in found if "bad" in name] == []
    assert "target/kit/good" in found


def test_a_name_too_long_for_the_disk(server: str, tmp_path: Path) -> None:
    for length, error in ((255, None), (256, UserError)):
        data = _tar({f"kit/{'n' * length}": b"x"})
        source = _archive(server, f"long{length}.tar.gz", data)
        if error is None:
            fetch(source, tmp_path / "good")
            assert files_in(tmp_path) == [f"good/kit/{'n' * 255}"]
        else:
            _refused(source, tmp_path, error, "name too long")


def test_encrypted_and_unknown_compression(server: str, tmp_path: Path) -> None:
    data = bytearray(_zip({"kit/a": b"x" * 50}))
    for place, value, says in ((6, 1, "damaged archive"), (8, 99, "damaged archive")):
        changed = bytearray(data)
        changed[place] = value
        central = changed.index(b"PK\x01\x02")
        changed[central + place + 2] = value
        source = _archive(server, f"odd{place}.zip", bytes(changed))
        _refused(source, tmp_path, DataError, says)


def test_every_published_source_is_checked_or_comes_by_https() -> None:
    from benchmarks.datasets.registry import DATASETS

    archives = [DATASETS.get(name) for name in DATASETS.entries()]
    sources = [
        source
        for family in archives
        if (release := getattr(family, "release", None)) is not None
        for source in (*release.lists.values(), *release.archives)
    ]
    assert len(sources) > 15
    for source in sources:
        assert source.checksum or source.url.startswith("https://"), source
        assert source.checksum or not isinstance(source, Archive), source


def test_what_a_killed_download_left_is_removed(server: str, tmp_path: Path) -> None:
    left = tmp_path / ".download-ab12_cde"  # of a version that did not name the writer
    left.mkdir()
    (left / "list.txt").touch()
    for path in (left / "list.txt", left):
        os.utime(path, (0, 0))
    others = [tmp_path / "download.partial", tmp_path / ".other-ab12_cde"]
    for path in others:
        path.mkdir()
        os.utime(path, (0, 0))
    fetch(Source("list.txt", f"{server}/list.txt", SHA), tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "list.txt"])
