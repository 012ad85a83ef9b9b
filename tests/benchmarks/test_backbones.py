from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from benchmarks import backbone_names, backbones
from benchmarks.backbones import Backbone
from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import DataMissing, UserError
from tests.benchmarks.small import ARCH, MODEL, PREPROCESS, make_clip_folder

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_arch")


@pytest.fixture(scope="module")
def small(clip_folder: Path) -> Backbone:
    return backbones.load(f"local-dir:{clip_folder}", device=CPU, precision="fp32")


def _load(name: str, *, offline: bool = False) -> Backbone:
    return backbones.load(name, device=CPU, precision="fp32", offline=offline)


# ---- names ---------------------------------------------------------------------------------------


def test_forms_of_a_name(clip_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"x")
    forms = {
        "glyph": ("embedded", "glyph"),
        "ViT-B-16/random": ("random", "ViT-B-16"),
        "ViT-B-16-quickgelu/openai": ("tag", "ViT-B-16-quickgelu"),
        f"ViT-B-16/{file}": ("file", "ViT-B-16"),
        "hf-hub:org/a-model": ("hf-hub", ""),
        f"local-dir:{clip_folder}": ("local-dir", ""),
    }
    for name, expected in forms.items():
        found = backbone_names.identify(name)
        assert (found.form, found.arch) == expected
    assert len({backbone_names.identify(n).weights_id for n in forms}) == len(forms)


def test_names_of_files_show_their_content_and_not_their_place(
    clip_folder: Path, tmp_path: Path
) -> None:
    found = backbone_names.identify(f"local-dir:{clip_folder}")
    assert found.name == f"local-dir:small_clip@{found.weights_id[:8]}"
    copy = shutil.copytree(clip_folder, tmp_path / "elsewhere" / "small_clip")
    again = backbone_names.identify(f"local-dir:{copy}")
    assert (again.name, again.weights_id) == (found.name, found.weights_id)
    file = tmp_path / "weights.pt"
    file.write_bytes(b"x")
    found = backbone_names.identify(f"ViT-B-16/{file}")
    assert found.name == f"ViT-B-16/weights.pt@{found.weights_id[:8]}"
    file.write_bytes(b"y")
    assert backbone_names.identify(f"ViT-B-16/{file}").weights_id != found.weights_id


def test_a_folder_is_known_by_its_configuration_too(clip_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(clip_folder, tmp_path / "small_clip")
    before = backbone_names.identify(f"local-dir:{copy}").weights_id
    config = json.loads((copy / "open_clip_config.json").read_text("utf-8"))
    config["preprocess_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (copy / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert backbone_names.identify(f"local-dir:{copy}").weights_id != before


def test_a_home_folder(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell leaves the ~ in `local-dir:~/model` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(clip_folder, tmp_path / "model")
    assert backbone_names.identify("local-dir:~/model").source == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ViT-B16/openai", "Unknown backbone 'ViT-B16'.*ViT-B-16"),
        ("vit-b-16/random", "Unknown backbone 'vit-b-16'.*ViT-B-16"),
        ("glyhp", "Unknown backbone 'glyhp'.*glyph"),
        ("glyph/random", "write glyph"),
        ("ViT-B-16", "names no weights: write ViT-B-16/TAG"),
        ("ViT-B-16/", "names no weights"),
        ("ViT-B-16-quickgelu/opanai", "'opanai'.*openai"),
        ("ViT-B-16/weights.pt", "no file at weights.pt"),
        ("ViT-B-16//no/such/file", "no file at /no/such/file"),
        ("hf-hub:", "hf-hub:ORG/MODEL"),
        ("hf-hub:model", "hf-hub:ORG/MODEL"),
        ("local-dir:/no/such/folder", "no open_clip_config.json in /no/such/folder"),
        ("local-dir:", "no open_clip_config.json"),
    ],
)
def test_names_that_mean_nothing(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        backbone_names.identify(name)
    assert "\n" not in str(caught.value)


def test_a_local_folder_without_weights(clip_folder: Path, tmp_path: Path) -> None:
    """open_clip would take random ones, and does not read `.pt` files here."""
    shutil.copy(clip_folder / "open_clip_config.json", tmp_path)
    for _ in range(2):
        with pytest.raises(UserError, match="no weights") as caught:
            backbone_names.identify(f"local-dir:{tmp_path}")
        assert str(tmp_path) in str(caught.value)
        (tmp_path / "model.pt").write_bytes(b"x")


def test_weights_trained_with_another_activation_are_refused() -> None:
    with pytest.raises(UserError, match="QuickGELU; use ViT-B-16-quickgelu/openai"):
        backbone_names.identify("ViT-B-16/openai")
    with pytest.raises(UserError, match="GELU; use ViT-B-32/laion2b_e16"):
        backbone_names.refuse_activation_mismatch(
            backbone_names.BackboneId("x", "tag", "ViT-B-32-quickgelu", "laion2b_e16", "x")
        )


def test_every_refusal_names_a_model_that_there_is() -> None:
    refused = 0
    for arch, tag in open_clip.list_pretrained():
        try:
            backbone_names.identify(f"{arch}/{tag}")
        except UserError as error:
            refused += 1
            right = str(error).rpartition(" use ")[2].removesuffix(".")
            assert backbone_names.identify(right).form == "tag", (arch, tag)
    assert refused > 10  # OpenAI's alone are more


# ---- loading -------------------------------------------------------------------------------------


def test_a_local_folder_is_loaded_as_it_is(small: Backbone, clip_folder: Path) -> None:
    saved = load_file(clip_folder / "open_clip_model.safetensors")
    loaded = small.model.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)
    assert not small.model.training
    assert not any(p.requires_grad for p in small.model.parameters())
    assert small.image_size == 32
    assert small.feature_dim == 16
    assert [list(small.preprocess[k]) for k in ("mean", "std")] == [
        PREPROCESS["mean"],
        PREPROCESS["std"],
    ]
    assert small.logit_scale == pytest.approx(1 / 0.07)  # as CLIP starts
    assert small.knows("anything")


def test_features_have_length_one(small: Backbone) -> None:
    images = small.encode_images(torch.randn(3, 3, 32, 32))
    texts = small.encode_text(["a", "b c", "d"], chunk=2)
    for features in (images, texts):
        assert features.shape == (3, 16)
        assert features.dtype == torch.float32
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    one_by_one = torch.cat([small.encode_text([t]) for t in ["a", "b c", "d"]])
    torch.testing.assert_close(texts, one_by_one, rtol=1e-4, atol=1e-6)


def test_loading_leaves_the_random_state_alone(clip_folder: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    _load(f"local-dir:{clip_folder}")
    _load(f"{ARCH}/random")
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_are_the_same_every_time() -> None:
    torch.manual_seed(1)
    first = _load(f"{ARCH}/random")
    torch.manual_seed(2)
    second = _load(f"{ARCH}/random", offline=True)
    states = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not first.knows("cat")


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_checkpoint_file(tmp_path: Path, ending: str) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(7)
    state = open_clip.CLIP(**MODEL).state_dict()
    file = tmp_path / f"mine.{ending}"
    (save_file if ending == "safetensors" else torch.save)(state, file)
    loaded = _load(f"{ARCH}/{file}")
    found = loaded.model.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert loaded.id.form == "file"


@pytest.mark.parametrize("case", ["a tensor missing", "another shape", "junk", "empty", "a list"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_checkpoint_file_that_does_not_fit(tmp_path: Path, case: str, ending: str) -> None:
    from safetensors.torch import save_file

    state = dict(open_clip.CLIP(**MODEL).state_dict())
    file = tmp_path / f"mine.{ending}"
    if case == "a tensor missing":
        del state["visual.proj"]
    elif case == "another shape":
        state["visual.proj"] = torch.zeros(32, 8)
    (save_file if ending == "safetensors" else torch.save)(state, file)
    if case in ("junk", "empty"):
        file.write_bytes(b"junk" * 10 if case == "junk" else b"")
    elif case == "a list":
        torch.save([1, 2], file)
    with pytest.raises(UserError, match=r"does not load: .") as caught:
        _load(f"{ARCH}/{file}")
    assert not isinstance(caught.value, DataMissing)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", ["{}", "no json", '{"model_cfg": {"embed_dim": 16}}'])
def test_a_local_folder_with_a_bad_configuration(
    clip_folder: Path, tmp_path: Path, config: str
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "bad")
    (folder / "open_clip_config.json").write_text(config)
    with pytest.raises(UserError, match="does not load") as caught:
        _load(f"local-dir:{folder}")
    assert "\n" not in str(caught.value)


# ---- weights that have to be fetched -------------------------------------------------------------

MISSING = "not on this machine"


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("ViT-B-16-quickgelu/openai", "--backbone ViT-B-16-quickgelu/FILE"),
        ("hf-hub:nobody/nothing", "--backbone local-dir:FOLDER"),
    ],
)
def test_without_network_missing_weights_end_at_once_in_a_line(
    name: str, by_hand: str, offline: bool
) -> None:
    start = time.monotonic()
    with pytest.raises(DataMissing, match=MISSING) as caught:
        _load(name, offline=offline)
    # Left to itself, the hub's client tries for most of a minute.
    assert time.monotonic() - start < 10
    line = str(caught.value)
    assert f"'{name}'" in line
    assert ("--offline" if offline else "no network") in line
    assert f"run_benchmarks.py download {name}" in line
    assert by_hand in line
    assert "--backbone glyph" in line
    assert "\n" not in line


def test_weights_that_come_from_a_plain_address() -> None:
    with pytest.raises(DataMissing, match=MISSING):
        _load("RN50-quickgelu/yfcc15m", offline=True)


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
    loaded = _load("hf-hub:nobody/small", offline=offline)
    assert time.monotonic() - start < 10
    expected = small.model.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in loaded.model.state_dict().items())


def test_without_network_a_cached_configuration_is_not_enough(hub: Path) -> None:
    (hub / "open_clip_model.safetensors").unlink()
    with pytest.raises(DataMissing, match=MISSING):
        _load("hf-hub:nobody/small")


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
            self.send_header("X-Repo-Commit", "abc")
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
    loaded = _load("hf-hub:nobody/small", offline=True)
    expected = small.model.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in loaded.model.state_dict().items())


def test_a_repository_without_weights_is_not_made_up(
    hub_server: dict[str, bytes], clip_folder: Path
) -> None:
    """open_clip itself would go on with random weights, and only log that it does."""
    name = "open_clip_config.json"
    hub_server[name] = (clip_folder / name).read_bytes()
    with pytest.raises(DataMissing, match=MISSING):
        _load("hf-hub:nobody/small")


# ---- preprocessing -------------------------------------------------------------------------------


def _images(*shapes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*s, 3), dtype=np.uint8) for s in shapes]


def test_images_of_the_right_size_are_prepared_as_by_the_transform(small: Backbone) -> None:
    images = _images((32, 32), (32, 32), (32, 32))
    expected = torch.stack([small.transform(Image.fromarray(i)) for i in images])
    assert torch.equal(small.prepare(images), expected)


def test_images_of_other_sizes_go_through_the_transform(small: Backbone) -> None:
    images = _images((32, 32), (40, 64), (20, 20))
    prepared = small.prepare(images)
    assert prepared.shape == (3, 3, 32, 32)
    expected = torch.stack([small.transform(Image.fromarray(i)) for i in images])
    assert torch.equal(prepared, expected)


def test_normalisation_by_hand(small: Backbone) -> None:
    pixels = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)  # one pixel
    mean, std = PREPROCESS["mean"], PREPROCESS["std"]
    expected = [(v - m) / s for v, m, s in zip((0.0, 1.0, 0.2), mean, std, strict=True)]  # type: ignore[call-overload]
    result = small.normalise(pixels)
    assert result.shape == (1, 3, 1, 1)
    assert result.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_the_transform_has_a_hash_of_its_settings(small: Backbone, clip_folder: Path) -> None:
    import dataclasses

    assert small.preprocess_hash == _load(f"local-dir:{clip_folder}").preprocess_hash
    for change in ({"mean": [0.5, 0.5, 0.5]}, {"interpolation": "bilinear"}, {"size": 64}):
        other = dataclasses.replace(small, preprocess=small.preprocess | change)
        assert other.preprocess_hash != small.preprocess_hash


def test_the_default_depends_on_the_data() -> None:
    assert DATASETS.get("glyphs100_lt").default_backbone == "glyph"
    assert DATASETS.get("cifar100_lt").default_backbone == "ViT-B-16-quickgelu/openai"


def test_folders_of_other_weights_give_other_features(small: Backbone, tmp_path: Path) -> None:
    other = _load(f"local-dir:{make_clip_folder(tmp_path, seed=1)}")
    pixels = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(other.encode_images(pixels), small.encode_images(pixels))
    assert isinstance(other.model, nn.Module)
