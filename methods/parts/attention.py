"""Scaled dot-product attention by the kernel that is fast where it runs.

Torch's fused kernel for CPUs is slow in its backward pass (`python -m benchmarks.speed attention`
compares): there, batched matrix products with a backward written out take its place wherever a
gradient is wanted or sequences are short. The choice goes by device and shape alone, never by a
clock, so that a run repeats its numbers. B images, H heads, t queries, T keys, d = W / H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SHORT = 64
"""Up to this many keys, matrix products beat the fused forward pass too."""
CACHE = 2**22
"""Bytes of weights (H, t, T) that are worked on at a time: what stays in a core's cache."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, (B, H, t, d) and twice (B, H, T, d) -> (B, H, t, d)."""
    wants_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    if q.device.type == "cpu" and (wants_gradient or k.shape[2] <= SHORT):
        with torch.autocast("cpu", enabled=False):
            out: Tensor = _Products.apply(q, k, v)
        return out
    return F.scaled_dot_product_attention(q, k, v)


class _Products(torch.autograd.Function):
    """Attention by batched products; the softmax weights are kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        images, heads, queries, _ = q.shape
        out = q.new_empty(images, queries, heads, v.shape[-1]).transpose(1, 2)
        kept = []
        for part in _parts(q, k):
            weights = torch.softmax((q[part] * scale) @ k[part].transpose(-1, -2), -1)
            out[part] = weights @ v[part]
            kept.append(weights)
        ctx.save_for_backward(q, k, v, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, *kept = ctx.saved_tensors
        (of_out,) = gradients
        scale = q.shape[-1] ** -0.5
        of_q, of_k, of_v = (torch.empty_like(x) for x in (q, k, v))
        for part, weights in zip(_parts(q, k), kept, strict=True):
            of_v[part] = weights.transpose(-1, -2) @ of_out[part]
            of_weights = of_out[part] @ v[part].transpose(-1, -2)
            # weights * (of_weights - sum of weights * of_weights), in one pass
            of_logits = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_q[part] = (of_logits @ k[part]).mul_(scale)
            of_k[part] = of_logits.transpose(-1, -2) @ (q[part] * scale)
        return of_q, of_k, of_v


def _parts(q: Tensor, k: Tensor) -> list[slice]:
    """Slices of images whose attention weights fit into `CACHE`."""
    images, heads, queries, _ = q.shape
    size = max(1, CACHE // (heads * queries * k.shape[2] * q.element_size()))
    return [slice(low, low + size) for low in range(0, images, size)]
