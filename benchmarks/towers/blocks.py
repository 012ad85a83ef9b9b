"""The linear layers of a ViT's block, in the number type that is computed in.

Gain and shift of the layer norm before a layer, and the layer scale behind it, are linear too: they
are multiplied into its weight and bias, so that a block is four linear layers between two
standardisations (mean 0 and variance 1). What is frozen is folded and rounded once and kept
as long as the weight lives; what is trained is folded anew in every pass, with gradients. A weight
that is changed in place is noticed, unless it is changed through `.data`, which torch does not
count. W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import TensorWeakRef, WeakTensorKeyDictionary


def compute_type(images: Tensor) -> torch.dtype:
    """The number type to compute in: autocast's where it is on, else the images' own."""
    device = images.device.type
    on = torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else images.dtype


def are_plain(transformer: Any) -> bool:
    """Whether there are blocks, and all of them are such that `layers` knows them."""
    blocks = getattr(transformer, "resblocks", ())
    attention = [getattr(block, "attn", None) for block in blocks]
    return bool(attention) and all(isinstance(a, nn.MultiheadAttention) for a in attention)


def standardised(x: Tensor, eps: float = 1e-5) -> Tensor:
    """(n, W) -> (n, W), rows of mean 0 and variance 1: a layer norm without gain and shift."""
    with torch.autocast(x.device.type, enabled=False):  # on CUDA it would give float32
        return F.layer_norm(x, x.shape[-1:], eps=eps)


def typed(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A parameter in a number type."""
    if parameter.dtype == dtype:
        return parameter
    return _kept("typed", lambda p: p, dtype, parameter)


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
        """Some of its outputs."""
        return Layer(self.weight[part], None if self.bias is None else self.bias[part])


@dataclass(frozen=True)
class Layers:
    """The layers of one block."""

    project: Layer
    """Standardised tokens to queries, keys and values, 3 W."""
    out: Layer
    """Attended values to what is added to the tokens."""
    up: Layer
    """Standardised tokens to the hidden layer of the MLP."""
    down: Layer
    """The hidden layer to what is added to the tokens."""


def layers(block: Any, dtype: torch.dtype) -> Layers:
    """The layers of an open_clip `ResidualAttentionBlock`.

    Args:
        block: frozen, trained, or in part.
        dtype: the number type of the result.
    """
    attn, mlp = block.attn, block.mlp
    return Layers(
        _after_norm(block.ln_1, attn.in_proj_weight, attn.in_proj_bias, dtype),
        _scaled(attn.out_proj, block.ls_1, dtype),
        _after_norm(block.ln_2, mlp.c_fc.weight, mlp.c_fc.bias, dtype),
        _scaled(mlp.c_proj, block.ls_2, dtype),
    )


def activation(kind: nn.Module, x: Tensor) -> Tensor:
    """What the MLP's own activation module gives; quick in both directions for QuickGELU."""
    if isinstance(kind, QuickGELU):
        out: Tensor = _QuickGelu.apply(x)
        return out
    out = kind(x)
    return out


def _after_norm(norm: nn.LayerNorm, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Layer:
    """The layer x -> W (gain * x + shift) + b."""
    gain, shift = norm.weight, norm.bias
    return Layer(
        _kept("gain", lambda w, g: w * g, dtype, weight, gain),
        _kept("shift", lambda b, w, s: b + w @ s, dtype, bias, weight, shift),
    )


def _scaled(linear: nn.Linear, scale: nn.Module, dtype: torch.dtype) -> Layer:
    """A layer with the block's layer scale, if it has one, behind it."""
    gamma = getattr(scale, "gamma", None)
    if gamma is None:
        return Layer(typed(linear.weight, dtype), typed(linear.bias, dtype))
    return Layer(
        _kept("rows", lambda w, g: w * g[:, None], dtype, linear.weight, gamma),
        _kept("rows", lambda b, g: b * g, dtype, linear.bias, gamma),
    )


class _Kept:
    """What was computed from some parameters while all of them were frozen.

    Args:
        value: shares no memory with them, or they would live as long as it.
        of: the parameters; held weakly.
    """

    def __init__(self, value: Tensor, of: tuple[Tensor, ...]) -> None:
        self.value = value
        self._of = [(TensorWeakRef(p), p._version, p.data_ptr()) for p in of]

    def stands(self, of: tuple[Tensor, ...]) -> bool:
        """Whether these are the same parameters with the same contents."""
        return all(
            ref() is p and version == p._version and place == p.data_ptr()
            for (ref, version, place), p in zip(self._of, of, strict=True)
        )


_KEPT: Any = WeakTensorKeyDictionary()
"""By parameter, name and number type, the last `_Kept` that was computed from it and others."""


def _kept(name: str, compute: Callable[..., Tensor], dtype: torch.dtype, *of: Tensor) -> Tensor:
    """`compute(*of)` in a number type, computed once as long as nothing in `of` is trained."""
    if any(parameter.requires_grad for parameter in of):
        return compute(*of).to(dtype)
    known = _KEPT.setdefault(of[0], {})
    kept = known.get((name, dtype))
    if kept is None or not kept.stands(of):
        with torch.no_grad():
            kept = known[name, dtype] = _Kept(compute(*of).to(dtype), of)
    found: Tensor = kept.value
    return found


class _QuickGelu(torch.autograd.Function):
    """x * sigmoid(1.702 x) = silu(1.702 x) / 1.702, which torch has a fused backward for."""

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
