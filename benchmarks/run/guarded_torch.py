"""Global state of torch and NumPy that a method could change, one declaration for each piece."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.backends import cuda, cudnn, mkldnn
from torch.nn.modules import module as nn_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from benchmarks.run.setting import Setting, attribute, mapping

_HELD: list[Any] = []
"""Guards of inference mode that this module opened: torch leaves the mode when they are deleted."""


def _precisions() -> tuple[Any, ...]:
    """Return the precision of float32 products by torch's old interface and its new one."""
    values: list[Any] = []
    for read in (
        torch.get_float32_matmul_precision,
        lambda: cuda.matmul.allow_tf32,
        lambda: cudnn.allow_tf32,
    ):
        try:
            values.append(read())
        except RuntimeError:  # torch refuses to tell after both interfaces were used
            values.append("mixed")
    read_new = getattr(torch._C, "_get_fp32_precision_getter", None)  # since torch 2.9
    values += [read_new(*part) for part in _PARTS] if read_new else []
    return tuple(values)


_PARTS = [
    (backend, op)
    for backend, ops in (
        ("generic", ("all",)),
        ("cuda", ("all", "matmul", "conv", "rnn")),
        ("mkldnn", ("all", "matmul", "conv", "rnn")),
    )
    for op in ops
]


def _set_precisions(values: tuple[Any, ...]) -> None:
    write_new = getattr(torch._C, "_set_fp32_precision_setter", None)
    if write_new:
        for part in _PARTS:  # or the old interface refuses
            write_new(*part, "none")
    matmul, matmul_tf32, cudnn_tf32, *parts = values
    if "mixed" not in values:
        torch.set_float32_matmul_precision(matmul)
        cuda.matmul.allow_tf32 = matmul_tf32
        cudnn.allow_tf32 = cudnn_tf32
    for part, value in zip(_PARTS, parts, strict=False):
        write_new(*part, value)  # type: ignore[misc]  # parts were read through the new interface


def _device() -> torch.device | None:
    """Return the device of `torch.set_default_device`; None if it was not called."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _set_inference(on: bool) -> None:
    _HELD.append(torch._C._InferenceMode(on))


def _stack(
    read: Callable[[], list[Any]], pop: Callable[[], Any], push: Callable[[Any], Any]
) -> tuple[Callable[[], tuple[Any, ...]], Callable[[tuple[Any, ...]], None]]:
    """Return the functions that read and write a stack of modes."""

    def write(modes: tuple[Any, ...]) -> None:
        while read():
            pop()
        for mode in modes:
            push(mode)

    return lambda: tuple(read()), write


def _saved_tensor_hooks() -> tuple[Any, ...]:
    """Return the innermost pair of hooks on tensors that autograd saves, and why none may be."""
    autograd = torch._C._autograd
    top = autograd._top_saved_tensors_default_hooks(True)
    return top, autograd._saved_tensors_hooks_get_disabled_error_message()


def _set_saved_tensor_hooks(value: tuple[Any, ...]) -> None:
    """Remove hooks down to the pair that was innermost."""
    autograd = torch._C._autograd
    autograd._saved_tensors_hooks_enable()
    pair, refusal = value
    while (top := autograd._top_saved_tensors_default_hooks(True)) is not None:
        if pair is not None and top[0] is pair[0] and top[1] is pair[1]:
            break
        autograd._pop_saved_tensors_default_hooks()
    if refusal is not None:
        autograd._saved_tensors_hooks_disable(refusal)


def _same_kernels(old: dict[str, None], new: dict[str, None]) -> bool:
    """Return True if torch's own operators have the same kernels from Python."""
    # Those of the device "meta" compute nothing; torch registers some when it imports a module.
    return not any(
        name.startswith("aten/") and not name.endswith("/Meta") for name in old.keys() ^ new.keys()
    )


def _set_safe_globals(values: dict[int, Any]) -> None:
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(list(values.values()))


_SMALLEST = sys.float_info.min


def _autocast(kind: str) -> list[Setting]:
    """Return the settings of autocast on one kind of device."""
    return [
        Setting(
            f"torch.is_autocast_enabled('{kind}')",
            lambda: torch.is_autocast_enabled(kind),
            lambda on: torch.set_autocast_enabled(kind, on),
        ),
        Setting(
            f"torch.get_autocast_dtype('{kind}')",
            lambda: torch.get_autocast_dtype(kind),
            lambda dtype: torch.set_autocast_dtype(kind, dtype),
        ),
    ]


def _hooks() -> list[Setting]:
    """Return the settings of the hooks that torch calls for every module or optimiser."""
    found = []
    for owner in (nn_module, sys.modules["torch.optim.optimizer"]):
        for name, value in vars(owner).items():
            if name.startswith("_global_") and isinstance(value, dict):
                found.append(mapping(f"torch's hooks {name[1:]}", partial(_hooks_of, owner, name)))
    return found


def _hooks_of(owner: ModuleType, name: str) -> dict[int, Any]:
    hooks: dict[int, Any] = getattr(owner, name)
    return hooks


def _cuda_rng() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _set_cuda_rng(states: list[torch.Tensor]) -> None:
    if states:
        torch.cuda.set_rng_state_all(states)


_FUNCTION_MODES = _stack(
    _get_current_function_mode_stack,
    torch._C._pop_torch_function_stack,
    torch._C._push_on_torch_function_stack,
)
_DISPATCH_MODES = _stack(
    _get_current_dispatch_mode_stack,
    lambda: torch._C._pop_torch_dispatch_stack(None),
    torch._C._push_on_torch_dispatch_stack,
)

SETTINGS: list[Setting] = [
    # The default device is itself a mode, at the bottom of the stack: it goes first.
    Setting("torch.get_default_device", _device, torch.set_default_device),
    Setting("the stack of TorchFunctionMode", *_FUNCTION_MODES),
    Setting("the stack of TorchDispatchMode", *_DISPATCH_MODES),
    Setting("torch.is_inference_mode_enabled", torch.is_inference_mode_enabled, _set_inference),
    Setting("torch.is_grad_enabled", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting(
        "torch.is_anomaly_enabled",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.set_anomaly_enabled(*value),
    ),
    Setting("torch's hooks on saved tensors", _saved_tensor_hooks, _set_saved_tensor_hooks),
    Setting("torch.set_num_threads", torch.get_num_threads, torch.set_num_threads),
    Setting("torch.set_num_interop_threads", torch.get_num_interop_threads),
    Setting("torch.get_default_dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch's float32 matmul precision", _precisions, _set_precisions),
    *(
        attribute(cuda.matmul, name, f"torch.backends.cuda.matmul.{name}")
        for name in (
            "allow_fp16_reduced_precision_reduction",
            "allow_bf16_reduced_precision_reduction",
        )
    ),
    *(
        attribute(cudnn, name, f"torch.backends.cudnn.{name}")
        for name in ("enabled", "benchmark", "deterministic")
    ),
    attribute(mkldnn, "enabled", "torch.backends.mkldnn.enabled"),
    *(
        Setting(
            f"torch.backends.cuda.{name}_sdp_enabled",
            getattr(cuda, f"{name}_sdp_enabled"),
            getattr(cuda, f"enable_{name}_sdp"),
        )
        for name in ("flash", "mem_efficient", "math", "cudnn")
    ),
    Setting(
        "torch.backends.mha.get_fastpath_enabled",
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.mha.set_fastpath_enabled,
    ),
    *_autocast("cpu"),
    *_autocast("cuda"),
    Setting(
        "torch.is_autocast_cache_enabled",
        torch.is_autocast_cache_enabled,
        torch.set_autocast_cache_enabled,
    ),
    Setting(
        "torch.use_deterministic_algorithms",
        torch.are_deterministic_algorithms_enabled,
        lambda on: torch.use_deterministic_algorithms(
            on, warn_only=torch.is_deterministic_algorithms_warn_only_enabled()
        ),
    ),
    Setting(
        "torch.use_deterministic_algorithms(warn_only)",
        torch.is_deterministic_algorithms_warn_only_enabled,
        lambda only: torch.use_deterministic_algorithms(
            torch.are_deterministic_algorithms_enabled(), warn_only=only
        ),
    ),
    attribute(
        torch.utils.deterministic,
        "fill_uninitialized_memory",
        "torch.utils.deterministic.fill_uninitialized_memory",
    ),
    # Torch has no getter. Python's own numbers obey the same flag of the processor.
    Setting("torch.set_flush_denormal", lambda: _SMALLEST / 2 == 0, torch.set_flush_denormal),
    Setting("torch.set_warn_always", torch.is_warn_always_enabled, torch.set_warn_always),
    Setting(
        "torch.multiprocessing.get_sharing_strategy",
        torch.multiprocessing.get_sharing_strategy,
        torch.multiprocessing.set_sharing_strategy,
    ),
    Setting(
        "torch.set_printoptions",
        lambda: dict(vars(torch._tensor_str.PRINT_OPTS)),
        lambda values: vars(torch._tensor_str.PRINT_OPTS).update(values),
    ),
    Setting(
        "torch.serialization.get_safe_globals",
        lambda: {id(value): value for value in torch.serialization.get_safe_globals()},
        _set_safe_globals,
    ),
    Setting("torch.library", lambda: dict.fromkeys(torch.library._impls), same=_same_kernels),
    *_hooks(),
    Setting("np.seterr", np.geterr, lambda value: np.seterr(**value)),
    Setting("np.seterrcall", np.geterrcall, np.seterrcall),
    Setting("np.setbufsize", np.getbufsize, np.setbufsize),
    Setting(
        "np.set_printoptions",
        np.get_printoptions,
        lambda value: np.set_printoptions(**value),
    ),
    Setting("torch.get_rng_state", torch.get_rng_state, torch.set_rng_state, quiet=True),
    Setting("torch.cuda.get_rng_state_all", _cuda_rng, _set_cuda_rng, quiet=True),
    Setting(
        "np.random.get_state",
        lambda: np.random.get_state(legacy=True),  # noqa: NPY002 - plug-ins may draw from it
        np.random.set_state,
        quiet=True,
    ),
]
