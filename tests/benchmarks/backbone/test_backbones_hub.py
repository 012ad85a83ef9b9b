"""Backbones on the Hugging Face hub: fetched, cached, missing, and never requested offline."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import open_clip
import pytest
import torch

import run_benchmarks
from benchmarks import backbones
from benchmarks.backbone import hub as hub_files
from benchmarks.backbone.identify import identify
from benchmarks.backbones import Backbone
from benchmarks.errors import DataMissing, UserError
from results.store import Store
from tests.benchmarks.damage import damages
from tests.benchmarks.small import ARCH, DATA, load_on_cpu, make_clip_folder

pytestmark = pytest.mark.usefixtures("small_arch")


MISSING = "not on this machine"


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("ViT-B-16-quickgelu/openai", "--backbone ViT-B-16-quickgelu/FILE"),
        ("hf-hub:nobody/nothing", "--backbone local-dir:FOLDER"),
    ],
)
def test_without_network_missing_weights_fail_at_once_in_one_line(
    name: str, by_hand: str, offline: bool
) -> None:
    start = time.monotonic()
    with pytest.raises(DataMissing, match=MISSING) as caught:
        load_on_cpu(name, offline=offline)
    # The hub's client alone would retry for most of a minute.
    assert time.monotonic() - start < 10
    line = str(caught.value)
    assert f"'{name}'" in line
    assert ("--offline" if offline else "no network") in line
    assert f"run_benchmarks.py download {name}" in line
    assert by_hand in line
    assert "--backbone glyph" in line
    assert "\n" not in line


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_folder: Path) -> Iterator[Path]:
    """The hub's cache with one model in it; returns the model's folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--nobody--small"
    shutil.copytree(clip_folder, model / "snapshots" / "abc")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    yield model / "snapshots" / "abc"


@pytest.mark.parametrize("offline", [True, False])
def test_cached_weights_load_without_network(hub: Path, small: Backbone, offline: bool) -> None:
    start = time.monotonic()
    loaded = load_on_cpu("hf-hub:nobody/small", offline=offline)
    assert time.monotonic() - start < 10
    expected = small.model.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in loaded.model.state_dict().items())


def test_without_network_a_cached_configuration_is_not_enough(hub: Path) -> None:
    (hub / "open_clip_model.safetensors").unlink()
    with pytest.raises(DataMissing, match=MISSING):
        load_on_cpu("hf-hub:nobody/small")


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, bytes]]:
    """A hub on this machine; fill the returned mapping with files of `nobody/small`."""
    from huggingface_hub import constants

    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            data = files.get(self.path.removeprefix("/nobody/small/resolve/main/"))
            self.send_response(404 if data is None else 200)
            if data is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", files.get("commit", b"abc").decode())
            self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if data is not None and self.command == "GET":
                self.wfile.write(data)

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        template = address + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield files
        server.shutdown()
        thread.join()


def test_weights_are_fetched_from_the_hub(
    hub_server: dict[str, bytes], clip_folder: Path, small: Backbone
) -> None:
    for file in clip_folder.iterdir():
        hub_server[file.name] = file.read_bytes()
    assert backbones.download("hf-hub:nobody/small") == "hf-hub:nobody/small: weights are in place."
    loaded = load_on_cpu("hf-hub:nobody/small", offline=True)
    expected = small.model.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in loaded.model.state_dict().items())


def test_damaged_files_of_the_hub_are_refused_by_name(
    hub_server: dict[str, bytes], clip_folder: Path, tmp_path: Path
) -> None:
    name = "hf-hub:nobody/small"
    for file in clip_folder.iterdir():
        hub_server[file.name] = file.read_bytes()
    backbones.download(name)
    for file in (tmp_path / "cache").rglob("snapshots/*/open_clip_*"):
        blob = file.resolve()
        for damage in damages(blob, flips=3, seed=0):
            with pytest.raises(UserError) as raised:
                load_on_cpu(name, offline=True)
            assert str(raised.value) == (
                f"Backbone '{name}': {blob} ({file.name}) is damaged: delete it, then "
                f"python run_benchmarks.py download {name}."
            ), damage
    # The small files of a repository have git's names.
    content = b"{}"
    small = tmp_path / hashlib.sha1(b"blob 2\0" + content).hexdigest()
    small.write_bytes(content)
    assert hub_files._expected(small) == small.name
    small.write_bytes(b"[]")
    assert hub_files._expected(small) != small.name


def test_a_repository_without_weights_gets_no_random_ones(
    hub_server: dict[str, bytes], clip_folder: Path
) -> None:
    """open_clip would use random weights, and only log it."""
    name = "open_clip_config.json"
    hub_server[name] = (clip_folder / name).read_bytes()
    with pytest.raises(DataMissing, match=MISSING):
        load_on_cpu("hf-hub:nobody/small")


def test_two_revisions_have_two_weights_ids(
    hub_server: dict[str, bytes], clip_folder: Path, tmp_path: Path
) -> None:
    """A cached revision is used and identified by its commit; `download` fetches a newer one."""
    name = "hf-hub:nobody/small"
    assert identify(name).weights_id == name
    for file in clip_folder.iterdir():
        hub_server[file.name] = file.read_bytes()
    backbones.fetch(name, offline=False)
    first = identify(name)
    assert (first.name, first.weights_id) == (name, f"{name}@abc")
    other = make_clip_folder(tmp_path / "other", seed=1) / "open_clip_model.safetensors"
    hub_server[other.name] = other.read_bytes()
    hub_server["commit"] = b"def"
    backbones.fetch(name, offline=False)
    loaded = load_on_cpu(name)
    assert loaded.id == first
    backbones.download(name)
    again = load_on_cpu(name)
    assert again.id.weights_id == f"{name}@def"
    assert not torch.equal(again.model.visual.proj, loaded.model.visual.proj)


def test_the_id_of_a_fetched_backbone_contains_its_revision(
    hub_server: dict[str, bytes], clip_folder: Path
) -> None:
    for file in clip_folder.iterdir():
        hub_server[file.name] = file.read_bytes()
    assert load_on_cpu("hf-hub:nobody/small").id.weights_id == "hf-hub:nobody/small@abc"


def test_a_sweep_on_a_model_from_the_hub_is_not_run_twice(
    hub_server: dict[str, bytes],
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first run fetches the model before it plans, so that its plan contains the revision."""
    for file in clip_folder.iterdir():
        hub_server[file.name] = file.read_bytes()
    words = ["--methods", "ncm", *DATA, "--backbone", "hf-hub:nobody/small", "--device", "cpu"]
    words += ["--out", str(tmp_path / "runs")]
    assert run_benchmarks.main(words) == 0
    (record,), _ = Store(tmp_path / "runs").all()
    assert record.provenance.weights_id == "hf-hub:nobody/small@abc"
    capsys.readouterr()
    assert run_benchmarks.main(["plan", *words]) == 0
    assert "1 done" in capsys.readouterr().out


def test_a_configuration_without_the_quickgelu_of_its_weights(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detected for repositories in open_clip's table."""
    table = open_clip.pretrained._PRETRAINED
    published = {"hf_hub": "nobody/small/", "quick_gelu": True}
    monkeypatch.setitem(table["ViT-B-32"], "openai", published)
    with pytest.raises(UserError, match=r"hf-hub:nobody/small.*trained with QuickGELU"):
        load_on_cpu("hf-hub:nobody/small", offline=True)
    config = json.loads((hub / "open_clip_config.json").read_text("utf-8"))
    config["model_cfg"]["quick_gelu"] = True
    (hub / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    load_on_cpu("hf-hub:nobody/small", offline=True)


# ---- offline -------------------------------------------------------------------------------------


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """List of all connection attempts, each of which fails."""
    found: list[object] = []

    def refuse(*args: object, **kwargs: object) -> None:
        found.append(args)
        raise OSError("no network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return found


def _local(folder: Path, clip_folder: Path, **text: str) -> str:
    shutil.copytree(clip_folder, folder)
    config = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
    config["model_cfg"]["text_cfg"] |= text
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return f"local-dir:{folder}"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ViT-B-16-quickgelu/openai", "weights .* not fetched"),
        ("hf-hub:nobody/nothing", "weights .* not fetched"),
        ("ViT-B-16-SigLIP/webli", r"the weights .*tokenizer \(timm/ViT-B-16-SigLIP\)"),
        ("ViT-B-16-SigLIP/random", r"the tokenizer \(timm/ViT-B-16-SigLIP\) .*not on this machine"),
        ("roberta-ViT-B-32/random", r"tokenizer .* text tower's configuration \(roberta-base\)"),
        ("ViT-B-16-SigLIP/FILE", r"the tokenizer \(timm/ViT-B-16-SigLIP\).*SigLIP/\S*/w\.pt;"),
    ],
)
def test_offline_nothing_is_requested(
    attempts: list[object], tmp_path: Path, name: str, says: str
) -> None:
    if name.endswith("/FILE"):
        file = tmp_path / "w.pt"
        torch.save({}, file)
        name = name.replace("FILE", str(file))
    start = time.monotonic()
    with pytest.raises(DataMissing, match=says) as caught:
        load_on_cpu(name, offline=True)
    assert time.monotonic() - start < 2
    assert "(--offline)" in str(caught.value)
    assert f"run_benchmarks.py download {name}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert attempts == []


def test_offline_local_files_load(
    attempts: list[object], clip_folder: Path, hub: Path, tmp_path: Path
) -> None:
    for name in (f"local-dir:{clip_folder}", f"{ARCH}/random", "hf-hub:nobody/small", "glyph"):
        load_on_cpu(name, offline=True)
    load_on_cpu("hf-hub:nobody/small")  # cached files are not requested without the flag either
    assert attempts == []


def test_a_folder_without_the_tokenizer_that_it_names(
    attempts: list[object], clip_folder: Path, tmp_path: Path
) -> None:
    name = _local(tmp_path / "model", clip_folder, hf_tokenizer_name="org/words")
    for offline in (True, False):
        with pytest.raises(UserError, match=r"tokenizer org/words, whose files .* are not in"):
            load_on_cpu(name, offline=offline)
    assert attempts == []


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_a_tokenizer_without_the_package_that_reads_it(
    attempts: list[object], clip_folder: Path, tmp_path: Path
) -> None:
    name = _local(tmp_path / "model", clip_folder, hf_tokenizer_name="org/words")
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"org/words.*pip install transformers") as caught:
        load_on_cpu(name)
    assert "\n" not in str(caught.value)
    assert attempts == []


def test_a_folder_with_a_tokenizer(
    attempts: list[object], clip_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    name = _local(tmp_path / "model", clip_folder, hf_tokenizer_name="org/words")
    words = {"[PAD]": 0, "[UNK]": 1, "a": 2, "cat": 3}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    for file, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        (tmp_path / "model" / file).write_text(json.dumps(content), encoding="utf-8")
    loaded = load_on_cpu(name, offline=True)
    assert loaded.tokenizer(["cat a dog"])[0, :5].tolist() == [3, 2, 1, 0, 0]
    assert loaded.feature_dim == 16
    assert attempts == []


def test_a_folder_whose_text_tower_is_on_the_hub(
    attempts: list[object], clip_folder: Path, tmp_path: Path
) -> None:
    name = _local(tmp_path / "model", clip_folder, hf_model_name="org/bert")
    with pytest.raises(DataMissing, match=r"text tower's configuration \(org/bert\).*--offline"):
        load_on_cpu(name, offline=True)
    assert attempts == []


def test_the_offline_command_reports_one_line(
    attempts: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--methods", "ncm", *DATA, "--backbone", "ViT-B-16-SigLIP/random", "--offline"]
    assert run_benchmarks.main([*words, "--out", str(tmp_path / "runs")]) == 2
    assert attempts == []
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "timm/ViT-B-16-SigLIP" in said.out + said.err
