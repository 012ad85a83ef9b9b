"""Weights from elsewhere are data: no code of theirs runs, and none of their lies is believed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

from benchmarks.backbone import torchscript, weight_files
from benchmarks.errors import UserError
from tests.benchmarks.small import ARCH, MODEL, load_on_cpu

pytestmark = pytest.mark.usefixtures("small_arch")


class Writes(nn.Module):
    """A module whose archive writes a file while `torch.jit.load` reads it."""

    def __init__(self, target: Path) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.target = str(target)

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, str, bool]:
        return (self.weight, self.target, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, str, bool]) -> None:
        self.weight = state[0]
        self.target = state[1]
        self.training = state[2]
        torch.save(torch.zeros(1), state[1])


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        yield


def test_the_code_of_a_torchscript_archive_does_not_run(tmp_path: Path) -> None:
    file, target = tmp_path / "evil.pt", tmp_path / "written"
    torch.jit.save(torch.jit.script(Writes(target)), file)
    torch.jit.load(file)
    assert target.exists()  # the attack works
    target.unlink()
    with pytest.raises(UserError, match=r"Writes restores itself by code of its own") as caught:
        load_on_cpu(f"{ARCH}/{file}")
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize(("how", "half"), [("script", True), ("trace", False)])
def test_an_archive_of_a_model_is_read_as_torch_reads_it(
    tmp_path: Path, how: str, half: bool
) -> None:
    torch.manual_seed(5)
    model = open_clip.CLIP(**MODEL).eval()
    file = tmp_path / "archive.pt"
    inputs = (torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, dtype=torch.long))
    if how == "trace":
        compiled = torch.jit.trace(model, inputs, check_trace=False)
    else:
        compiled = torch.jit.script(model)
    torch.jit.save(compiled.half() if half else compiled, file)
    expected = torch.jit.load(file).state_dict()
    found = torchscript.read(file)
    assert found.keys() == expected.keys() > model.state_dict().keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    loaded = load_on_cpu(f"{ARCH}/{file}").model.state_dict()
    assert all(torch.equal(loaded[name], found[name].float()) for name in loaded)


def _changed(file: Path, change: Callable[[str, bytes], bytes], *, compress: bool = False) -> Path:
    """A copy of a zip file with other contents."""
    copy = file.with_name("changed.pt")
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(copy, "w", kind) as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
    return copy


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "plain.pt"
    torch.jit.save(torch.jit.script(Loop()), file)
    assert torchscript.read(file)["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    return file


def _global(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


_MODULE = _global("__torch__", "Loop") + b")\x81"
PICKLES = {
    "a call": b"\x80\x02" + _global("os", "system") + b"(X\x04\x00\x00\x00exittR.",
    "a builtin": b"\x80\x02" + _global("builtins", "eval") + b".",
    "another instruction": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "a changed function": b"\x80\x02" + _global("torch._utils", "_rebuild_tensor_v2") + b"}b.",
    "a memo of gigabytes": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "no module": b"\x80\x02N.",
    "a state that is no mapping": b"\x80\x02" + _MODULE + b"K\x01b.",
    "a module in itself": b"\x80\x02" + _MODULE + b"q\x01}X\x01\x00\x00\x00ah\x01sb.",
    "a tensor larger than its storage": b"\x80\x02" + _MODULE + b"}X\x06\x00\x00\x00weight"
    + _global("torch._utils", "_rebuild_tensor_v2") + b"((X\x07\x00\x00\x00storage"
    + _global("torch", "FloatStorage") + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    b"K\x00(J\xff\xff\xff\x7ft(K\x00t\x89NtRsb.",
    "an unfinished one": b"\x80\x02" + _MODULE,
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_in_an_archive_that_attacks(archive: Path, case: str) -> None:
    def change(name: str, data: bytes) -> bytes:
        return PICKLES[case] if name.endswith("/data.pkl") else data

    changed = _changed(archive, change)
    with pytest.raises(UserError, match=r"does not load: .") as caught:
        load_on_cpu(f"{ARCH}/{changed}")
    assert str(changed) in str(caught.value) and "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_more_than_it_holds(archive: Path) -> None:
    bomb = _changed(
        archive, lambda name, data: bytes(10**7) if "/data/" in name else data, compress=True
    )
    assert bomb.stat().st_size < 10**5
    with pytest.raises(UserError, match="its tensors are compressed"):
        load_on_cpu(f"{ARCH}/{bomb}")
    cut = _changed(archive, lambda name, data: data[:-3] if "/data/" in name else data)
    with pytest.raises(UserError, match="does not end with a whole number"):
        load_on_cpu(f"{ARCH}/{cut}")


def test_one_storage_listed_many_times_is_refused() -> None:
    """Entries of a zip file may overlap, so that each of a thousand is the whole file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data/0", bytes(1000))
        (first,) = archive.filelist
        archive.filelist += [first] * 999
    with zipfile.ZipFile(buffer) as archive:
        size = len(buffer.getvalue())
        archive.filelist = [first] * 1000
        with pytest.raises(ValueError, match="larger than the file"):
            weight_files.refuse_bomb(archive, size // 1000)


class _Call:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_a_pickle_with_a_call(tmp_path: Path, form: str) -> None:
    file, target = tmp_path / "evil.pt", tmp_path / "made"
    if form == "zip":
        torch.save({"a": _Call(target)}, file)
    else:
        file.write_bytes(pickle.dumps({"a": _Call(target)}))
    with pytest.raises(UserError, match="does not load") as caught:
        load_on_cpu(f"{ARCH}/{file}")
    assert not target.exists()
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"},
        {"a": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}},
        [],
        None,
    ],
)
def test_a_safetensors_header_that_lies(tmp_path: Path, header: Any) -> None:
    file = tmp_path / "evil.safetensors"
    text = json.dumps(header).encode()
    length = len(text) if header is not None else 1 << 60
    file.write_bytes(struct.pack("<Q", length) + text + bytes(8))
    with pytest.raises(UserError, match=r"does not load: .") as caught:
        load_on_cpu(f"{ARCH}/{file}")
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
