"""A pretended GPU: tensors that say they are on `cuda:0` and compute on the CPU.

It finds, on a machine without a GPU, what would fail or wait on one: operations on tensors of two
devices, reads that make the host wait for the device, and the types that autocast picks there. It
cannot show values as a GPU rounds them, nor what a GPU's kernels refuse, nor speed.

Torch's own FakeTensorMode has no values, so a whole fit cannot run in it: sorting, matching and the
choice of an epoch read values. Its backward pass also needs a driver. So a pretended tensor holds
an ordinary one. To torch's C++ code it is on the CPU, which lets autograd work anywhere; only in
Python does it say `cuda:0`, and every operation on it is checked on its way.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import linecache
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from benchmarks.backbones import Backbone

GPU = torch.device("cuda", 0)


class DeviceMix(RuntimeError):
    """An operation on tensors of two devices, at a place in a method's code."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.place = _place()


Waits = Counter[str]
"""Number of times that the host waited for the device, by place in the code."""


def _place() -> str:
    """The innermost line on the stack that is neither of a library nor of this module."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        file, number = frame.f_code.co_filename, frame.f_lineno
        if _is_place(file):
            linecache.checkcache(file)
            return f"{Path(file).name}, line {number}: {linecache.getline(file, number).strip()}"
        frame = frame.f_back
    return "unknown place"


@cache
def _is_place(name: str) -> bool:
    file = Path(name)
    return file != Path(__file__) and "site-packages" not in file.parts and file.is_file()


class OnGpu(Tensor):
    """A tensor that says it is on the pretended GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        return torch.Tensor._make_wrapper_subclass(  
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=held.device, requires_grad=False,
        )  # fmt: skip

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(parts: dict[str, Tensor], *_: Any) -> OnGpu:
        return OnGpu(parts["held"])

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnGpu({self.held!r})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {}, gpu=True)


# ---- operations ----------------------------------------------------------------------------------

# Their outputs' shapes or their results are known to the host only once the device is done.
_READS = {
    "_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "bincount",
    "unique_consecutive", "equal", "repeat_interleave", "is_nonzero",
}  # fmt: skip
_INDEXING = {"index", "index_put_", "index_put", "_index_put_impl_"}


def _run(func: Any, args: Any, kwargs: dict[str, Any], gpu: bool) -> Any:
    """Run an operation on what pretended tensors hold; `gpu`: its result is on the GPU."""
    tensors = _tensors(args, kwargs)
    here = [t for t in tensors if isinstance(t, OnGpu)]
    if not (here or gpu or kwargs):
        return func(*args)
    name = func.overloadpacket.__name__
    if here and not _is_copy(name):
        others = [t for t in tensors if not isinstance(t, OnGpu) and t.ndim > 0]
        if name in _INDEXING and isinstance(args[0], OnGpu):
            others = []  # positions may be on the CPU: they are copied, and the host waits
            indices = [i for i in args[1] if i is not None]
            if any(
                not isinstance(i, OnGpu) or i.dtype in (torch.bool, torch.uint8) for i in indices
            ):
                _noted()
        if others:
            raise DeviceMix(
                f"{name}: a tensor of shape {tuple(others[0].shape)} on the CPU meets one of shape "
                f"{tuple(here[0].shape)} on {GPU}"
            )
    if name in _READS and here:
        _noted()
    plain = {k: v for k, v in kwargs.items() if k != "pin_memory"}
    if plain.get("device") is not None:
        # To C++ code pretended tensors are on the CPU: where it makes a copy "there" it stays here.
        gpu = gpu or torch.device(plain["device"]).type == "cuda"
        plain["device"] = torch.device("cpu")
    if name == "copy_":
        gpu = isinstance(args[0], OnGpu)
    if _is_copy(name) and gpu != bool(here) and not _non_blocking(name, args, kwargs):
        _noted()
    out = func(*_mapped(_held, args), **{k: _mapped(_held, v) for k, v in plain.items()})
    if not gpu:
        return out
    out = _mapped(_on_gpu, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if here and _aliases(func) else out


def _tensors(args: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """Tensors among arguments, and within lists of them."""
    found = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            found.append(value)
        elif type(value) in (list, tuple):
            found += [one for one in value if isinstance(one, Tensor)]
    return found


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """`torch.utils._pytree.tree_map` for tensors and lists of them, several times as fast."""
    if type(value) in (list, tuple):
        return type(value)(_mapped(function, v) for v in value)
    return function(value)


@cache
def _aliases(func: Any) -> bool:
    """True for views and operations in place."""
    return any(returned.alias_info is not None for returned in func._schema.returns)


def _on_it(tensor: Tensor) -> bool:
    """True if a tensor is on the pretended GPU, or is what `vmap` and `grad` make of such a one."""
    while not isinstance(tensor, OnGpu) and is_functorch_wrapped_tensor(tensor):
        tensor = get_unwrapped(tensor)
    return isinstance(tensor, OnGpu)


def _is_copy(name: str) -> bool:
    return name in ("copy_", "_to_copy")


def _non_blocking(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    return bool(kwargs.get("non_blocking") or (name == "copy_" and args[2:3] == (True,)))


def _is_read(index: Tensor | None) -> bool:
    """True if the host must wait to index by it: a mask, or positions that the CPU has."""
    if index is None:
        return False
    return not isinstance(index, OnGpu) or index.dtype in (torch.bool, torch.uint8)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _on_gpu(value: Any) -> Any:
    return OnGpu(value) if isinstance(value, Tensor) and not isinstance(value, OnGpu) else value


_WAITS: list[Waits] = []


def _noted() -> None:
    """Count a wait at the place that the host is at."""
    if _WAITS:
        _WAITS[-1][_place()] += 1


class _Operations(TorchDispatchMode):
    """Sees the operations without pretended tensors: it makes those that ask for the GPU."""

    def __init__(self, functions: _Functions) -> None:
        super().__init__()
        self._functions = functions

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors(args, kwargs)
        # A tensor that torch's own code makes within a function of pretended tensors, as of their
        # device: to that code it is the CPU.
        inner = not tensors and self._functions.depth > 0
        gpu = inner or any(isinstance(t, OnGpu) for t in tensors)
        return _run(func, args, kwargs, gpu)


# ---- functions as Python calls them --------------------------------------------------------------

# What CUDA's autocast computes in single precision (docs.pytorch.org, "CUDA Ops that can autocast
# to float32"); the CPU's list is another.
_SINGLE = {
    "acos", "asin", "binary_cross_entropy_with_logits", "cdist", "cosine_similarity",
    "cross_entropy", "cumprod", "cumsum", "dist", "exp", "expm1", "group_norm", "kl_div", "l1_loss",
    "layer_norm", "log", "log10", "log1p", "log2", "log_softmax", "mse_loss", "nll_loss", "norm",
    "normalize", "pow", "__pow__", "__rpow__", "prod", "reciprocal", "rsqrt", "smooth_l1_loss",
    "softmax", "softmin", "softplus", "sum", "tan",
}  # fmt: skip
_DEVICE: Any = Tensor.device.__get__
_FROM_PYTHON = {"tensor", "as_tensor", "asarray", "new_tensor"}
_COPIES = {"to", "cpu", "cuda", "numpy", "tolist", "item", "__bool__", "__float__", "__int__"}


class _Functions(TorchFunctionMode):
    """Sees the functions that Python code calls, before C++ code takes them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        first = args[0] if args else None
        if func == _DEVICE and _on_it(args[0]):
            return GPU
        if isinstance(first, OnGpu) and name in _COPIES:
            return self._copied(func, name, args, kwargs)
        if name in ("to", "cuda") and isinstance(first, Tensor):
            target, rest, options = _target(name, args[1:], kwargs)
            if target is not None and target.type == "cuda":
                if not _on_it(first):
                    if not kwargs.get("non_blocking"):
                        _noted()
                    first = _ToGpu.apply(first)
                return first.to(*rest, **options) if rest or options else first
        tensors = _tensors(args, kwargs)
        if name in _FROM_PYTHON:
            return self._made(func, name, args, kwargs)
        if name in _SINGLE and torch.is_autocast_enabled("cpu"):
            args = _mapped(_single, args)
            kwargs = {name: _mapped(_single, value) for name, value in kwargs.items()}
            with torch.autocast("cpu", enabled=False):
                return self._called(func, args, kwargs, tensors)
        return self._called(func, args, kwargs, tensors)

    def _called(self, func: Any, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        deeper = any(map(_on_it, tensors))
        self.depth += deeper
        try:
            return func(*args, **kwargs)
        finally:
            self.depth -= deeper

    def _made(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """A tensor of Python's numbers; the host waits while they are copied to the GPU."""
        method = isinstance(args[0], Tensor) and name.startswith("new_")
        device = kwargs.get("device", args[0].device if method else None)
        if device is None or torch.device(device).type != "cuda":
            return func(*args, **kwargs)
        _noted()
        plain = {k: v for k, v in kwargs.items() if k != "device"}
        found = func(*(_held(a) for a in args), **plain, device="cpu")
        return found if isinstance(found, OnGpu) else OnGpu(found)

    def _copied(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """A copy to another device or to Python: C++ code does not know that it is one."""
        source: OnGpu = args[0]
        target, rest, options = _target(name, args[1:], kwargs)
        if target is None or target.type == "cuda":
            if name == "cuda":
                return source
            return self._called(func, (source, *rest), options, [source])
        if not kwargs.get("non_blocking"):
            _noted()
        if name == "to" or name == "cpu":
            found = _ToHost.apply(source)
            return found.to(*rest, **options) if rest or options else found
        return func(source.held, *args[1:], **kwargs)


def _target(
    name: str, args: Any, kwargs: dict[str, Any]
) -> tuple[torch.device | None, tuple[Any, ...], dict[str, Any]]:
    """Device that a copy leads to, None for the same; and the other arguments."""
    if name not in ("to", "cuda"):
        return torch.device("cpu"), args, kwargs
    if name == "cuda":
        return GPU, (), {}
    target: torch.device | None = None
    rest: list[Any] = []
    for value in args:
        if isinstance(value, str | torch.device):
            target = torch.device(value)
        elif isinstance(value, Tensor):
            target, rest = value.device, [*rest, value.dtype]
        elif isinstance(value, torch.dtype):
            rest.append(value)
    options = {k: v for k, v in kwargs.items() if k not in ("device", "non_blocking")}
    if kwargs.get("device") is not None:
        target = torch.device(kwargs["device"])
    return target, tuple(rest), options


class _ToGpu(torch.autograd.Function):
    """Copy from the CPU to the GPU; its gradient is copied back."""

    generate_vmap_rule = True

    @staticmethod
    def forward(source: Tensor) -> Tensor:
        return OnGpu(source.detach().clone())

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def backward(ctx: Any, gradient: OnGpu) -> Any:
        return gradient.held.detach().clone()


class _ToHost(torch.autograd.Function):
    """Copy from the GPU to the CPU; its gradient is copied back."""

    @staticmethod
    def forward(ctx: Any, source: OnGpu) -> Tensor:
        return source.held.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return OnGpu(gradient.detach().clone())


def _single(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value


# ---- the whole -----------------------------------------------------------------------------------


_DONE_BY_NOBODY = ("_lazy_init", "set_rng_state", "manual_seed", "manual_seed_all", "empty_cache")
"""Functions of `torch.cuda` that have nothing to do here."""


def _nothing() -> Callable[..., None]:
    """A function that does nothing: each one is another, or torch's table of functions fails."""
    return lambda *args, **kwargs: None


class _Autocast(torch.autocast):
    """`torch.autocast("cuda")` on the pretended GPU."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)


def on_pretended_gpu(backbone: Backbone, precision: str) -> Backbone:
    """A copy of a backbone on the pretended GPU; to be made in the context of `pretended_gpu`."""
    model = copy.deepcopy(backbone.model).to(GPU)
    return dataclasses.replace(backbone, model=model, device=GPU, precision=precision)


@contextlib.contextmanager
def pretended_gpu() -> Iterator[Waits]:
    """A context in which `cuda` is the pretended GPU.

    Yields:
        The places where the host waits for the device, counted as they happen.

    Raises:
        DeviceMix: in the context, by the operation that mixes devices.
    """
    waits: Waits = Counter()
    instead: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_current_stream_capturing": lambda: False,
        "is_bf16_supported": lambda *args, **kwargs: True,
        "get_device_properties": lambda *args: mock.Mock(total_memory=2**34),
        "get_rng_state": lambda *args: torch.get_rng_state(),
        **{name: _nothing() for name in _DONE_BY_NOBODY},
    }
    functions = _Functions()
    with contextlib.ExitStack() as stack:
        for name, value in instead.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        # Optimisers ask it whether a graph is being captured.
        stack.enter_context(mock.patch.object(torch.accelerator, "current_accelerator", _nothing()))
        stack.enter_context(mock.patch.object(torch, "autocast", _Autocast))
        stack.enter_context(mock.patch.object(Tensor, "pin_memory", lambda self, *_: self))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        _WAITS.append(waits)
        stack.callback(_WAITS.pop)
        stack.enter_context(_Operations(functions))
        stack.enter_context(functions)
        yield waits
