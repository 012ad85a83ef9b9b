"""Scaled dot-product attention with the kernel that is fastest on the device.

Torch's fused CPU kernel has a slow backward pass (`python -m benchmarks.speed attention` compares).
On a CPU, batched matrix products with an explicit backward pass therefore replace it if a gradient
is needed or the sequences are short. The choice depends only on device and shape, never on a
timing, so that a run repeats its numbers. B images, H heads, t queries, T keys, d = W / H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SHORT = 64
"""Up to this many keys, matrix products are also faster than the fused forward pass."""
CACHE = 2**22
"""Bytes of attention weights (H, t, T) processed at a time, so that they stay in a core's cache."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, (B, H, t, d) and twice (B, H, T, d) -> (B, H, t, d)."""
    wants_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    if q.device.type == "cpu" and (wants_gradient or k.shape[2] <= SHORT):
        with torch.autocast("cpu", enabled=False):
            out: Tensor = _Products.apply(q, k, v)
        return out
    return F.scaled_dot_product_attention(q, k, v)


class _Products(torch.autograd.Function):
    """Attention by batched products; the softmax weights are saved for the backward pass.

    Images and heads form one batch dimension (N = B * H), so that no product copies its inputs.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.scale, ctx.images = q.shape[-1] ** -0.5, len(q)
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q * ctx.scale, k, v))  # (N, t or T, d)
        out = q.new_empty(*q.shape[:2], v.shape[-1])
        weights = q.new_empty(*q.shape[:2], k.shape[1])  # (N, t, T)
        for part in _parts(weights):
            logits = torch.bmm(q[part], k[part].transpose(1, 2))
            torch.softmax(logits, -1, out=weights[part])
            torch.bmm(weights[part], v[part], out=out[part])
        ctx.save_for_backward(q, k, v, weights)
        by_image: Tensor = out.unflatten(0, (ctx.images, -1))
        return by_image

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, weights = ctx.saved_tensors
        of_out = gradients[0].reshape(-1, *gradients[0].shape[2:])  # (N, t, d)
        of_q, of_k, of_v = (torch.empty_like(x) for x in (q, k, v))
        for part in _parts(weights):
            torch.bmm(weights[part].transpose(1, 2), of_out[part], out=of_v[part])
            of_weights = torch.bmm(of_out[part], v[part].transpose(1, 2))
            # weights * (of_weights - sum(weights * of_weights)) in one pass
            of_logits = torch._softmax_backward_data(of_weights, weights[part], -1, weights.dtype)
            torch.bmm(of_logits, k[part], out=of_q[part]).mul_(ctx.scale)
            torch.bmm(of_logits.transpose(1, 2), q[part], out=of_k[part])
        of_q, of_k, of_v = (x.unflatten(0, (ctx.images, -1)) for x in (of_q, of_k, of_v))
        return of_q, of_k, of_v


def _parts(weights: Tensor) -> list[slice]:
    """Slices of the (N, t, T) weights that fit into `CACHE` bytes each."""
    size = max(1, CACHE // (weights[0].numel() * weights.element_size()))
    return [slice(low, low + size) for low in range(0, len(weights), size)]
