"""Pytest plugin that changes matrix products in their last bits, as another processor would.

`pytest -p tests.perturbation` adds noise of `--product-noise` (1e-7) to each product of float32
matrices, forward and backward, and as many units in the last place to products in float64. A test
that passes only with the rounding of one processor fails under it.

The noise is a fixed function of the operation, the shapes of its operands and each result. The same
operations on the same numbers keep the same bits, so tests of equal bits stay valid; one batched
product and several single ones get different noise, as different kernels would give. An element is
left as it is where no order of summation can change it: at most one term is not zero, or all
operands are small whole numbers. Commands that tests start in other processes are not changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest

MIXERS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)  # odd constants of well-known 32-bit hashes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--product-noise",
        type=float,
        default=1e-7,
        help="largest change of a float32 product, relative to the product of absolute values",
    )
    parser.addoption("--product-noise-seed", type=int, default=0, help="draws other noise")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Change products in fixtures of every scope, too."""
    size, seed = (item.config.getoption(f"--product-noise{end}") for end in ("", "-seed"))
    with noisy_products(size, seed):
        return (yield)


def noisy_products(size: float, seed: int = 0) -> Any:
    """Context manager that adds noise of `size` to products of matrices."""
    import torch  # deferred: tests/conftest.py sets the number of threads before
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    # Positions of the factors among the arguments. The first argument before them is a summand.
    factors: dict[Any, tuple[int, ...]] = {
        aten.mm: (0, 1),
        aten.bmm: (0, 1),
        aten.mv: (0, 1),
        aten.dot: (0, 1),
        aten.addmm: (1, 2),
        aten.addmm_: (1, 2),
        aten.addmv: (1, 2),
        aten.baddbmm: (1, 2),
        aten.baddbmm_: (1, 2),
        aten.convolution: (0, 1),
        aten.convolution_backward: (0, 1, 2),
    }
    fused = (
        aten._scaled_dot_product_flash_attention_for_cpu,
        aten._scaled_dot_product_flash_attention_for_cpu_backward,
        aten._native_multi_head_attention,
        aten._transformer_encoder_layer_fwd,
        aten._cdist_forward,
    )
    units = {torch.float32: 1.0, torch.float64: 2.0**-29}  # epsilon, in that of float32

    def draw(values: Tensor, key: int) -> Tensor:
        """Numbers in [-1, 1) that look random: a function of the key, the place and the value."""
        words = values.flatten().clone().view(torch.int32).reshape(values.numel(), -1)
        mixed = words.to(torch.int64).sum(-1)
        mixed += torch.arange(values.numel()) * MIXERS[0] + key
        for constant in MIXERS[1:]:
            mixed &= 0xFFFFFFFF
            mixed = (mixed ^ (mixed >> 15)) * constant
        return ((mixed & 0xFFFFFFFF).double() / 2**31 - 1).to(values.dtype).reshape(values.shape)

    def whole(value: Tensor) -> bool:
        return bool((value == value.round()).all()) and float(value.abs().amax()) < 2**10

    def scales(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Size of each element's terms; zero where at most one term is not zero."""
        sizes, present = list(args), list(args)
        for place in factors[operation]:
            sizes[place] = args[place].abs()
            present[place] = (args[place] != 0).to(args[place].dtype)
        if factors[operation][0] == 1:
            sizes[0], present[0] = torch.zeros_like(args[0]), torch.zeros_like(args[0])
        if operation is aten.convolution:
            sizes[2] = present[2] = None
        kwargs = {name: value for name, value in kwargs.items() if name != "out"}
        found = operation(*sizes, **kwargs), operation(*present, **kwargs)
        if isinstance(found[0], Tensor):
            return found[0].abs() * (found[1] > 1.5)
        return [None if s is None else s.abs() * (n > 1.5) for s, n in zip(*found, strict=True)]

    def change(result: Any, scale: Any, key: int) -> None:
        if isinstance(result, list | tuple):
            for one, by in zip(result, scale, strict=True):
                change(one, by, key + 1)
        elif isinstance(result, Tensor) and result.dtype in units and result.numel():
            noise = draw(result, key) * scale * (size * units[result.dtype])
            result += noise.nan_to_num(0.0, 0.0, 0.0)

    class Noise(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = function(*args, **(kwargs or {}))
            operation = function.overloadpacket
            places = factors.get(operation, ())
            if not places and operation not in fused:
                return result
            tensors = [value for value in args if isinstance(value, Tensor)]
            # Tensors of other classes, such as pretended ones, may have no values.
            if any(type(t) not in (Tensor, torch.nn.Parameter) for t in tensors):
                return result
            if any(t.device.type != "cpu" or t.dtype not in units for t in tensors):
                return result
            if places and all(whole(args[place]) for place in places if args[place].numel()):
                return result
            shapes = [tuple(tensor.shape) for tensor in tensors]
            key = zlib.crc32(repr((seed, str(operation), shapes)).encode())
            if places:
                change(result, scales(operation, args, kwargs or {}), key)
            elif isinstance(result, Tensor):
                change(result, result.abs(), key)
            else:
                change(result, [r.abs() if isinstance(r, Tensor) else r for r in result], key)
            return result

    return Noise()
