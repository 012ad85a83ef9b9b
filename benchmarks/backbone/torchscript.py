"""TorchScript archives, the format of OpenAI's original weights, read as data.

`torch.jit.load` runs code from the archive (`__setstate__`), and that code may write files. Here no
code of an archive runs. Such an archive is a zip file: `data.pkl` is a pickle of modules whose
tensors lie in `data/0`, `data/1`, …, and `code/` says which tensors are parameters and buffers. The
unpickler below knows only the few instructions that TorchScript writes, and makes nothing but
tensors, plain values and `Module`s.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.input_files import MB
from benchmarks.plain_pickle import PlainUnpickler

_PICKLE_LIMIT = 64 * MB
"""Largest `data.pkl`, in bytes; that of ViT-L/14 has 0.2 MB."""
_CODE_LIMIT = 64 * MB
"""Largest text of all modules' code, in bytes."""
_DEPTH, _TENSORS = 64, 100_000
"""Most modules inside each other, and most names of tensors."""
_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_NAMES = re.compile(r"^  __(parameters|buffers)__ = \[(.*)\]$", re.MULTILINE)


def is_torchscript(archive: zipfile.ZipFile) -> bool:
    """True for an archive that `torch.jit.save` wrote."""
    return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read(file: Path) -> dict[str, Tensor]:
    """Read the state dict of an archive.

    Args:
        file: the archive.

    Returns:
        Parameters and buffers by name, on the CPU, whatever device they were saved from.

    Raises:
        ValueError: the archive is damaged, or contains what is no plain tree of modules.
        Exception: it is damaged in another way; the type depends on the part.
    """
    with zipfile.ZipFile(file) as archive:
        (top,) = {n.removesuffix("constants.pkl") for n in archive.namelist() if _constants(n)}
        listed = _tensor_names(archive, top)
        unpickler = _Unpickler(archive, top)
        root = unpickler.load()
    if not isinstance(root, Module):
        raise ValueError("the archive holds no module")
    found: dict[str, Tensor] = {}
    _collect(root, "", listed, found, 0)
    return found


def _constants(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/constants.pkl")


class Module:
    """A module of an archive: its attributes, and nothing that runs."""

    kind = ""
    """Its class in the archive, such as `__torch__.open_clip.model.CLIP`."""

    def __init__(self, *arguments: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _collect(
    module: Module, prefix: str, listed: dict[str, set[str]], found: dict[str, Tensor], depth: int
) -> None:
    """Add a module's parameters and buffers, and those of the modules in it."""
    if not isinstance(module.state, dict):
        raise ValueError(
            f"{module.kind} restores itself by code of its own (__setstate__), which is not run"
        )
    if depth > _DEPTH or len(found) > _TENSORS:
        raise ValueError("modules are nested without end")
    names = listed.get(module.kind, set())
    for name, value in module.state.items():
        if isinstance(value, Module):
            _collect(value, f"{prefix}{name}.", listed, found, depth + 1)
        elif isinstance(value, Tensor) and name in names:
            found[f"{prefix}{name}"] = value


def _tensor_names(archive: zipfile.ZipFile, top: str) -> dict[str, set[str]]:
    """Names of the parameters and buffers of each class, read from the text of its code."""
    names: dict[str, set[str]] = {}
    left = _CODE_LIMIT
    for info in archive.infolist():
        if not info.filename.startswith(f"{top}code/") or not info.filename.endswith(".py"):
            continue
        with archive.open(info) as stream:
            data = stream.read(left + 1)
        left -= len(data)
        if left < 0:
            raise ValueError(f"its code is larger than {_CODE_LIMIT / MB:.0f} MB")
        module = info.filename.removeprefix(f"{top}code/").removesuffix(".py").replace("/", ".")
        _, *parts = _CLASS.split(data.decode())
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            quoted = " ".join(text for _, text in _NAMES.findall(body))
            names[f"{module}.{name}"] = set(re.findall(r'"([^"]*)"', quoted))
    return names


class _Unpickler(PlainUnpickler):
    """Unpickler of a `data.pkl`."""

    BUILT = (Module,)

    def __init__(self, archive: zipfile.ZipFile, top: str) -> None:
        self._archive, self._top = archive, top
        info = archive.getinfo(f"{top}data.pkl")
        if info.file_size > _PICKLE_LIMIT:
            raise ValueError(f"its data.pkl is larger than {_PICKLE_LIMIT / MB:.0f} MB")
        super().__init__(io.BytesIO(archive.read(info)))
        self._storages: dict[str, Tensor] = {}
        self._kinds: dict[str, type[Module]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A class of the archive as a kind of `Module`, or one of a few constructors."""
        if module.partition(".")[0] == "__torch__":
            kind = f"{module}.{name}"
            if kind not in self._kinds:
                self._kinds[kind] = type("Module", (Module,), {"kind": kind})
            return self._kinds[kind]
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch.jit._pickle" and (name in _LISTS or name == "restore_type_tag"):
            return _plain
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Tensor:
        """The storage that a pickle refers to, as a vector of its type."""
        _, dtype, key, _, _ = pid  # ("storage", type, file, device, length)
        if key not in self._storages:
            self._storages[key] = _vector(self._archive, f"{self._top}data/{key}", dtype)
        return self._storages[key]


# Instructions that TorchScript writes; an archive with any other is refused.
_OPCODES = (
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.TUPLE, pickle.TUPLE1,
    pickle.TUPLE2, pickle.TUPLE3, pickle.EMPTY_TUPLE, pickle.EMPTY_DICT, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.NONE, pickle.NEWTRUE,
    pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT,
    pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8, pickle.BINPUT,
    pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.GLOBAL, pickle.NEWOBJ,
    pickle.REDUCE, pickle.BUILD, pickle.BINPERSID,
)  # fmt: skip
_Unpickler.dispatch = {code[0]: PlainUnpickler.dispatch[code[0]] for code in _OPCODES}


def _vector(archive: zipfile.ZipFile, name: str, dtype: torch.dtype) -> Tensor:
    """All values of a storage, (n,)."""
    info = archive.getinfo(name)
    if info.file_size % dtype.itemsize:
        raise ValueError(f"{name} does not end with a whole number")
    values = torch.empty(info.file_size // dtype.itemsize, dtype=dtype)
    raw: Any = values.view(torch.uint8).numpy()
    view, done = memoryview(raw), 0
    with archive.open(info) as stream:
        while done < len(view):
            got = stream.readinto(view[done:])  # type: ignore[attr-defined]
            if not got:
                raise ValueError(f"{name} is cut off")
            done += got
    return values


def _rebuilt(values: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor as a view of its storage; it must not be larger than that."""
    if math.prod(size) > len(values):
        raise ValueError("a tensor is larger than its storage")
    return values.as_strided(tuple(size), tuple(stride), offset)


def _plain(value: Any, *_: Any) -> Any:
    return value
