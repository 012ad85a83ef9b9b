"""The linear layers of a ViT block, folded and cast to the type of the computation.

The gain and shift of the layer norm before a layer, and the layer scale after it, are linear too.
They are multiplied into the layer's weight and bias, so that a block consists of four linear layers
and two standardisations (to mean 0 and variance 1). Frozen parameters are folded and rounded once,
and the result is cached for the lifetime of the weight; trained parameters are folded in every
pass, with gradients. A change of a weight in place is detected, except through `.data`, which torch
does not count. W is the width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import TensorWeakRef, WeakTensorKeyDictionary


def compute_type(images: Tensor) -> torch.dtype:
    """The dtype to compute in: autocast's if it is enabled, otherwise that of the images."""
    device = images.device.type
    on = torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else images.dtype


def are_plain(transformer: Any) -> bool:
    """True if a transformer has blocks and `layers` supports all of them."""
    blocks = getattr(transformer, "resblocks", ())
    attention = [getattr(block, "attn", None) for block in blocks]
    return bool(attention) and all(isinstance(a, nn.MultiheadAttention) for a in attention)


def standardised(x: Tensor, eps: float = 1e-5) -> Tensor:
    """(n, W) -> (n, W), rows of mean 0 and variance 1: a layer norm without gain and shift."""
    with torch.autocast(x.device.type, enabled=False):  # which would return float32 on CUDA
        return F.layer_norm(x, x.shape[-1:], eps=eps)


def typed(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A parameter cast to `dtype`; cached if it is frozen."""
    if parameter.dtype == dtype:
        return parameter
    return _cached("typed", lambda p: p, dtype, parameter)


@dataclass(frozen=True)
class Layer:
    """x W^T + b."""

    weight: Tensor
    """(out, in)."""
    bias: Tensor | None
    """(out,)."""

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in) -> (n, out)."""
        return F.linear(x, self.weight, self.bias)

    def __getitem__(self, part: slice) -> Layer:
        """The layer restricted to some of its outputs."""
        return Layer(self.weight[part], None if self.bias is None else self.bias[part])


@dataclass(frozen=True)
class Layers:
    """The layers of one block."""

    project: Layer
    """Standardised tokens -> queries, keys and values, 3 W."""
    out: Layer
    """Attended values -> update of the tokens."""
    up: Layer
    """Standardised tokens -> hidden layer of the MLP."""
    down: Layer
    """Hidden layer of the MLP -> update of the tokens."""


def layers(block: Any, dtype: torch.dtype) -> Layers:
    """The folded layers of an open_clip `ResidualAttentionBlock`.

    Args:
        block: frozen, trained, or partly trained.
        dtype: dtype of the folded layers.
    """
    attn, mlp = block.attn, block.mlp
    return Layers(
        _after_norm(block.ln_1, attn.in_proj_weight, attn.in_proj_bias, dtype),
        _scaled(attn.out_proj, block.ls_1, dtype),
        _after_norm(block.ln_2, mlp.c_fc.weight, mlp.c_fc.bias, dtype),
        _scaled(mlp.c_proj, block.ls_2, dtype),
    )


def is_quick_gelu(kind: nn.Module) -> bool:
    """True if the activation is open_clip's QuickGELU."""
    from open_clip.transformer import QuickGELU  # deferred: seconds, and a model loads it anyway

    return isinstance(kind, QuickGELU)


def activation(kind: nn.Module, x: Tensor) -> Tensor:
    """Apply the MLP's activation module; QuickGELU runs a faster equivalent in both directions."""
    if is_quick_gelu(kind):
        out: Tensor = _QuickGelu.apply(x)
        return out
    out = kind(x)
    return out


def _after_norm(norm: nn.LayerNorm, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Layer:
    """The layer x -> W (gain * x + shift) + b."""
    gain, shift = norm.weight, norm.bias
    return Layer(
        _cached("gain", lambda w, g: w * g, dtype, weight, gain),
        _cached("shift", lambda b, w, s: b + w @ s, dtype, bias, weight, shift),
    )


def _scaled(linear: nn.Linear, scale: nn.Module, dtype: torch.dtype) -> Layer:
    """A layer followed by the block's layer scale, if it has one."""
    gamma = getattr(scale, "gamma", None)
    if gamma is None:
        return Layer(typed(linear.weight, dtype), typed(linear.bias, dtype))
    return Layer(
        _cached("rows", lambda w, g: w * g[:, None], dtype, linear.weight, gamma),
        _cached("rows", lambda b, g: b * g, dtype, linear.bias, gamma),
    )


class _CacheEntry:
    """A value computed from frozen parameters, and the state of these parameters.

    Args:
        value: must not share memory with the parameters, or it would keep them alive.
        sources: the parameters; referenced weakly.
    """

    def __init__(self, value: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.value = value
        self._sources = [(TensorWeakRef(p), p._version, p.data_ptr()) for p in sources]

    def is_valid_for(self, sources: tuple[Tensor, ...]) -> bool:
        """True if these are the same parameters with unchanged contents."""
        return all(
            ref() is p and version == p._version and address == p.data_ptr()
            for (ref, version, address), p in zip(self._sources, sources, strict=True)
        )


_CACHE: Any = WeakTensorKeyDictionary()
"""First source parameter -> {(name, dtype): latest `_CacheEntry`}; ends with the parameter."""


def _cached(
    name: str, compute: Callable[..., Tensor], dtype: torch.dtype, *sources: Tensor
) -> Tensor:
    """`compute(*sources)` cast to `dtype`, and cached unless a source is trained."""
    if any(parameter.requires_grad for parameter in sources):
        return compute(*sources).to(dtype)
    entries = _CACHE.setdefault(sources[0], {})
    entry = entries.get((name, dtype))
    if entry is None or not entry.is_valid_for(sources):
        with torch.no_grad():
            entry = entries[name, dtype] = _CacheEntry(compute(*sources).to(dtype), sources)
    found: Tensor = entry.value
    return found


class _QuickGelu(torch.autograd.Function):
    """x * sigmoid(1.702 x) = silu(1.702 x) / 1.702, for which torch has a fused backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        steep = 1.702 * x
        ctx.save_for_backward(steep)
        return F.silu(steep).div_(1.702)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (steep,) = ctx.saved_tensors
        of_x: Tensor = torch.ops.aten.silu_backward(gradients[0], steep)
        return of_x
