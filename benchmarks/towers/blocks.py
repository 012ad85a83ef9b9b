"""The common form of the blocks of open_clip's and timm's ViTs.

A block consists of four linear layers (`folding`) with standardisations (to mean 0 and variance 1)
before them. W is the width, A that of the attention, which is W except where heads are wider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.towers.folding import Layer, folded, typed


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


def shifted(norm: nn.LayerNorm | None, plain: Tensor) -> Tensor:
    """Standardised tokens with the gain and shift of a layer norm, (n, W) -> (n, W)."""
    if norm is None:
        return plain
    gain, shift = (typed(p, plain.dtype) for p in (norm.weight, norm.bias))
    return torch.addcmul(shift, plain, gain)


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """A layer norm computed in the dtype of its parameters, (…, W) -> (…, W)."""
    if not isinstance(norm, nn.LayerNorm):
        return x
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = norm(x.to(norm.weight.dtype))
    return out


@dataclass(frozen=True)
class Norms:
    """Norms of one branch of a block (attention or MLP) that are not folded away entirely."""

    before: nn.LayerNorm | None
    """Norm of the branch's input, folded into the first layer: its input is standardised. None in
    blocks that normalise afterwards."""
    inside: nn.LayerNorm | None = None
    """Norm of attended values or of the hidden layer, folded into the last layer likewise."""
    after: nn.LayerNorm | None = None
    """Norm of the branch's output."""

    def read(self, x: Tensor) -> Tensor:
        """(n, W) tokens -> the input of the first layer."""
        return x if self.before is None else standardised(x, self.before.eps)

    def normed_inside(self, x: Tensor) -> Tensor:
        """Attended values or the hidden layer as the last layer's own weights read them."""
        return x if self.inside is None else normed(self.inside, x).to(x.dtype)

    def write(self, layer: Layer, x: Tensor) -> Tensor:
        """The output of the branch whose last layer reads x."""
        if self.inside is not None:
            x = standardised(x, self.inside.eps)
        out = layer(x)
        return out if self.after is None else normed(self.after, out).to(out.dtype)


@dataclass(frozen=True)
class Layers:
    """The layers of one block."""

    project: Layer
    """Tokens -> queries, keys and values, 3 A."""
    out: Layer
    """Attended values, A -> update of the tokens."""
    up: Layer
    """Tokens -> hidden layer of the MLP."""
    down: Layer
    """Hidden layer of the MLP -> update of the tokens."""
    heads: int
    activate: Callable[[Tensor], Tensor]
    """The MLP's activation; it may halve the hidden layer, one half being the gate of the other."""
    attention: Norms
    mlp: Norms


def layers(block: Any, dtype: torch.dtype) -> Layers:
    """The folded layers of an open_clip `ResidualAttentionBlock`.

    Args:
        block: frozen, trained, or partly trained.
        dtype: dtype of the folded layers.
    """
    attn, mlp = block.attn, block.mlp
    gammas = [getattr(scale, "gamma", None) for scale in (block.ls_1, block.ls_2)]
    return Layers(
        folded([attn.in_proj_weight], [attn.in_proj_bias], dtype, norm=block.ln_1),
        folded([attn.out_proj.weight], [attn.out_proj.bias], dtype, scale=gammas[0]),
        folded([mlp.c_fc.weight], [mlp.c_fc.bias], dtype, norm=block.ln_2),
        folded([mlp.c_proj.weight], [mlp.c_proj.bias], dtype, scale=gammas[1]),
        attn.num_heads,
        lambda x: activation(mlp.gelu, x),
        Norms(block.ln_1),
        Norms(block.ln_2),
    )


def is_quick_gelu(kind: nn.Module) -> bool:
    """True if the activation is the QuickGELU of open_clip or timm."""
    return type(kind).__name__ == "QuickGELU"


def activation(kind: nn.Module, x: Tensor) -> Tensor:
    """Apply the MLP's activation module; QuickGELU runs a faster equivalent in both directions."""
    if is_quick_gelu(kind):
        out: Tensor = _QuickGelu.apply(x)
        return out
    out = kind(x)
    return out


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
