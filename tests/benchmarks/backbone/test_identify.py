"""Identification of backbones by name, without loading anything."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import open_clip
import pytest

from benchmarks import glyphs
from benchmarks.backbone import activations
from benchmarks.backbone.identify import identify
from benchmarks.backbone.names import BackboneId
from benchmarks.errors import UserError
from tests.benchmarks.damage import damages


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
        found = identify(name)
        assert (found.form, found.arch) == expected
    assert len({identify(n).weights_id for n in forms}) == len(forms)


def test_names_of_files_show_a_content_hash_and_no_path(clip_folder: Path, tmp_path: Path) -> None:
    found = identify(f"local-dir:{clip_folder}")
    assert found.name == f"local-dir:small_clip@{found.weights_id[:8]}"
    copy = shutil.copytree(clip_folder, tmp_path / "elsewhere" / "small_clip")
    again = identify(f"local-dir:{copy}")
    assert (again.name, again.weights_id) == (found.name, found.weights_id)
    file = tmp_path / "weights.pt"
    file.write_bytes(b"x")
    found = identify(f"ViT-B-16/{file}")
    assert found.name == f"ViT-B-16/weights.pt@{found.weights_id[:8]}"
    file.write_bytes(b"y")
    assert identify(f"ViT-B-16/{file}").weights_id != found.weights_id


def test_the_id_of_a_folder_depends_on_its_configuration(clip_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(clip_folder, tmp_path / "small_clip")
    before = identify(f"local-dir:{copy}").weights_id
    config = json.loads((copy / "open_clip_config.json").read_text("utf-8"))
    config["preprocess_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (copy / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert identify(f"local-dir:{copy}").weights_id != before


def test_a_tilde_is_expanded(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell does not expand the ~ in `local-dir:~/model`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(clip_folder, tmp_path / "model")
    assert identify("local-dir:~/model").source == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ViT-B16/openai", "Unknown backbone 'ViT-B16'.*ViT-B-16"),
        ("vit-b-16/random", "Unknown backbone 'vit-b-16'.*ViT-B-16"),
        ("glyhp", "Unknown backbone 'glyhp'.*glyph"),
        ("openai/clip-vit-base-patch32", r"is ViT-B-32-quickgelu/openai\."),
        ("ViT-L/14@336px", r"is ViT-L-14-336-quickgelu/openai\."),
        ("timm/vit_thing", "is hf-hub:timm/vit_thing"),
        (str(Path(__file__).parent), f"is local-dir:{Path(__file__).parent}"),
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
def test_invalid_names(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        identify(name)
    assert "\n" not in str(caught.value)


def test_a_local_folder_without_weights(clip_folder: Path, tmp_path: Path) -> None:
    """open_clip would use random ones, and ignores `.pt` files in a folder."""
    shutil.copy(clip_folder / "open_clip_config.json", tmp_path)
    for _ in range(2):
        with pytest.raises(UserError, match="no weights") as caught:
            identify(f"local-dir:{tmp_path}")
        assert str(tmp_path) in str(caught.value)
        (tmp_path / "model.pt").write_bytes(b"x")


def test_weights_trained_with_another_activation_are_refused() -> None:
    with pytest.raises(UserError, match="QuickGELU; use ViT-B-16-quickgelu/openai"):
        identify("ViT-B-16/openai")
    with pytest.raises(UserError, match="GELU; use ViT-B-32/laion2b_e16"):
        activations.refuse_mismatch(
            BackboneId("x", "tag", "ViT-B-32-quickgelu", "laion2b_e16", "x"), trained=False
        )
    with pytest.raises(UserError, match="QuickGELU; and open_clip has no convnext_base-quickgelu"):
        activations.refuse_mismatch(
            BackboneId("x", "file", "convnext_base", "w.pt", "x"), trained=True
        )


def test_the_activation_of_every_published_tag() -> None:
    """Accepted if architecture and weights agree; otherwise the message names an existing model."""
    refused = []
    for arch, tag in open_clip.list_pretrained():
        trained = bool(open_clip.get_pretrained_cfg(arch, tag).get("quick_gelu"))
        built = bool(open_clip.get_model_config(arch).get("quick_gelu"))
        try:
            identify(f"{arch}/{tag}")
            # The only architecture in the table that has QuickGELU and no other form.
            assert trained == built or arch == "roberta-ViT-B-32", (arch, tag)
        except UserError as error:
            assert trained != built, (arch, tag)
            refused.append(tag)
            right = str(error).rpartition(" use ")[2].removesuffix(".")
            assert identify(right).form == "tag", (arch, tag)
    assert refused.count("openai") == 9
    assert {"dfn2b", "dfn5b", "metaclip_400m", "metaclip_fullcc", "laion400m_e32"} <= set(refused)


def test_a_published_file_is_identified_by_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For tags whose address contains a checksum; the file's name does not matter."""
    file = tmp_path / "renamed.pt"
    file.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    openai = f"https://openaipublic.azureedge.net/clip/models/{sha256}/RN50.pt"
    laion = f"https://github.com/mlfoundations/open_clip/releases/vit_b_32-{sha256[:8]}.pt"
    table = open_clip.pretrained._PRETRAINED
    monkeypatch.setitem(table["RN50"], "openai", {"url": openai, "quick_gelu": True})
    assert identify(f"RN50-quickgelu/{file}").published == "RN50/openai"
    with pytest.raises(UserError, match=f"QuickGELU; use RN50-quickgelu/{file}"):
        identify(f"RN50/{file}")
    monkeypatch.setitem(table["RN50"], "openai", {"url": ""})
    monkeypatch.setitem(table["ViT-B-32"], "laion2b_e16", {"url": laion})
    assert identify(f"ViT-B-32/{file}").published == "ViT-B-32/laion2b_e16"
    with pytest.raises(UserError, match=f"with GELU; use ViT-B-32/{file}"):
        identify(f"ViT-B-32-quickgelu/{file}")
    file.write_bytes(b"other weights")
    assert identify(f"ViT-B-32-quickgelu/{file}").published == ""


# ---- ids of weights ------------------------------------------------------------------------------


def _folder(path: Path, **text: str) -> Path:
    path.mkdir()
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": {}, "text_cfg": text}}
    (path / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    (path / "b.safetensors").write_bytes(b"b")
    (path / "a.bin").write_bytes(b"a")
    return path


def _expected_id(folder: Path, *files: str) -> str:
    digests = [hashlib.sha256((folder / file).read_bytes()).digest() for file in files]
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def test_the_id_of_a_folder_is_that_of_committed_records(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "model", context_length="32")
    expected = _expected_id(folder, "open_clip_config.json", "a.bin", "b.safetensors")
    assert identify(f"local-dir:{folder}").weights_id == expected
    (folder / "tokenizer.json").write_text("{}")  # not read: open_clip uses CLIP's tokenizer
    (folder / "README.md").write_text("read me")
    assert identify(f"local-dir:{folder}").weights_id == expected


def test_the_id_of_a_folder_depends_on_its_tokenizer(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "model", hf_tokenizer_name="org/words")
    main = ("open_clip_config.json", "a.bin", "b.safetensors")
    seen = {_expected_id(folder, *main)}
    assert identify(f"local-dir:{folder}").weights_id in seen
    for name in ("tokenizer.json", "spiece.model", "tokenizer_config.json"):
        for content in ("1", "2"):
            (folder / name).write_text(content)
            seen.add(identify(f"local-dir:{folder}").weights_id)
    tokenizer = ("spiece.model", "tokenizer.json", "tokenizer_config.json")
    assert _expected_id(folder, *main, *tokenizer) in seen
    assert len(seen) == 7


def test_a_revision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hf download org/model --revision v1\.0 .*local-dir:"):
        identify("hf-hub:org/model@v1.0")


@pytest.mark.parametrize(
    ("name", "flips"),
    [("glyph.safetensors", 3), ("glyph.json", 15), ("vocabulary.txt", 15)],
)
def test_damaged_embedded_weights_are_refused_by_name(
    name: str, flips: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "assets"
    shutil.copytree(glyphs.ASSETS, assets)
    monkeypatch.setattr(glyphs, "ASSETS", assets)
    for damage in damages(assets / name, flips=flips, seed=0):
        with pytest.raises(UserError) as raised:
            identify("glyph")
        assert str(raised.value).startswith(f"Backbone 'glyph': {assets / name} is damaged"), damage


def test_a_damaged_log_of_the_embedded_weights_changes_nothing_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = identify("glyph")
    assets = tmp_path / "assets"
    shutil.copytree(glyphs.ASSETS, assets)
    monkeypatch.setattr(glyphs, "ASSETS", assets)
    for damage in damages(assets / "glyph_training.json", flips=15, seed=0):
        try:
            assert identify("glyph") == expected, damage
        except UserError as error:
            assert "is damaged" in str(error)
