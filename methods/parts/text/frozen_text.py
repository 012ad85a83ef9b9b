"""The blocks of a frozen, causal text tower on packed prompts, with an explicit backward pass.

The tower is not trained, so only the learned rows need a gradient: four products with a weight
matrix forward, four backward, and the operations between them in as few passes over memory as torch
has kernels for. A chunk either keeps the tensors that its backward pass reads or, if these would
take too much memory, recomputes them.

The linear layers run in the requested number type, everything between them (the residual stream,
attention, its softmax) in the tower's. G sets of prompts, R rows, W width, H heads, d = W / H, P
leading tokens, n prompts of a bucket, T their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.towers.blocks import is_quick_gelu, layers
from methods.parts.text.packed_attention import Part, attend, attend_backward, leading_keys, parts
from methods.parts.text.packing import Chunk


class FrozenText:
    """The blocks of a text tower, in a number type.

    Args:
        tower: tower from `text_tower`.
        dtype: number type of the linear layers.
    """

    def __init__(self, tower: Any, dtype: torch.dtype) -> None:
        self.blocks = list(tower.transformer.resblocks)
        self.dtype = dtype
        self.heads = int(self.blocks[0].attn.num_heads)
        start = tower.token_embedding.weight.detach()[0]
        self.width, self.stream = len(start), start.dtype

    def bytes_kept(self, keys: float) -> float:
        """Bytes per row that the backward pass needs, with `keys` keys per query."""
        wide = 2 * self.width + self.heads * keys  # inputs of the norms, weights of attention
        narrow = 3 * self.width + self.blocks[0].mlp.c_fc.out_features
        sizes = self.stream.itemsize, self.dtype.itemsize
        return float(len(self.blocks) * (wide * sizes[0] + narrow * sizes[1]))

    def __call__(
        self, x: Tensor, learned: Tensor, where: Tensor, chunk: Chunk, before: Tensor, *, keep: bool
    ) -> tuple[Tensor, Tensor]:
        """Run the tower.

        Args:
            x: (R, W) embeddings with positions; learned rows are not read.
            learned: (r, W) values of the learned rows.
            where: (r,) indices of the learned rows.
            chunk: layout of the rows.
            before: (blocks, 2, G, H, P, d) keys and values of the tokens before all rows.
            keep: keep the tensors that the backward pass needs; otherwise recompute them.

        Returns:
            Last outputs at the ends, (G * n, W) in the order of the buckets, and `before` followed
            by the chunk's own leading tokens.
        """
        ends, leading = _Run.apply(self, x, learned, where, chunk, before, keep)
        return ends, leading


@dataclass
class _Kept:
    """Tensors that the backward pass of one block reads."""

    norm_1: tuple[Tensor, ...]
    q: Tensor
    kv: Tensor
    weights: list[Tensor]
    norm_2: tuple[Tensor, ...]
    hidden: Tensor


class _Run(torch.autograd.Function):
    """See `FrozenText.__call__`."""

    @staticmethod
    def forward(
        ctx: Any,
        text: FrozenText,
        x: Tensor,
        learned: Tensor,
        where: Tensor,
        chunk: Chunk,
        before: Tensor,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        kept: list[_Kept] | None = [] if keep and any(ctx.needs_input_grad) else None
        ends, leading = _forward(text, x.index_copy(0, where, learned), chunk, before, kept)
        ctx.kept, ctx.rest = kept, (text, chunk)
        ctx.save_for_backward(x, learned, where, before, leading)
        return ends, leading

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        text, chunk = ctx.rest
        x, learned, where, before, leading = ctx.saved_tensors
        kept, ctx.kept = ctx.kept, None
        if kept is None:
            kept = []
            _forward(text, x.index_copy(0, where, learned), chunk, before, kept)
        wanted = bool(ctx.needs_input_grad[5])
        of_learned, of_leading = _backward(
            text, chunk, leading, kept, where, *gradients, through=wanted or chunk.leading > 0
        )
        of_before = of_leading[..., : before.shape[4], :] if wanted else None
        return None, None, of_learned, None, None, of_before, None


def _forward(
    text: FrozenText, x: Tensor, chunk: Chunk, before: Tensor, kept: list[_Kept] | None
) -> tuple[Tensor, Tensor]:
    """Outputs of `FrozenText.__call__`; `kept` is filled unless it is None."""
    width, dtype, sets = text.width, text.dtype, before.shape[2]
    leading = []
    every, read, ends = _rows(chunk, sets, x)
    for i, block in enumerate(text.blocks):
        last = i + 1 == len(text.blocks)
        layer = layers(block, dtype)
        norm_1, normed = _standardised(x, block.ln_1, dtype)
        if last:  # only the ends are read, so no other row needs an output
            x = x[read]
            q, kv = layer.project[:width](normed[read]), layer.project[width:](normed)
        else:
            q, kv = layer.project(normed).split((width, 2 * width), dim=1)
        leading.append(leading_keys(chunk, sets, kv, before[i]))
        attended = q.new_empty(q.shape)
        weights = attend(ends if last else every, q, kv, leading[i], attended)
        x = torch.add(x, layer.out(attended))
        norm_2, normed = _standardised(x, block.ln_2, dtype)
        hidden, active = _activation(block.mlp.gelu, layer.up(normed))
        x = torch.add(x, layer.down(active))
        if kept is not None:
            kept.append(_Kept(norm_1, q, kv, weights, norm_2, hidden))
    return x, torch.stack(leading)


def _backward(
    text: FrozenText,
    chunk: Chunk,
    leading: Tensor,
    kept: list[_Kept],
    where: Tensor,
    of_x: Tensor,
    of_leading: Tensor,
    *,
    through: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of `learned` and of `leading`, given those of the outputs x and `leading`.

    Empties `kept`. `through`: the tokens before the prompts need a gradient too.
    """
    width, dtype, sets = text.width, text.dtype, leading.shape[2]
    of_leading = of_leading.clone()
    every, read, ends = _rows(chunk, sets, of_x)
    for i in reversed(range(len(text.blocks))):
        block, has = text.blocks[i], kept.pop()
        last = i + 1 == len(text.blocks)
        layer = layers(block, dtype)
        of_hidden = of_x.to(dtype) @ layer.down.weight
        of_hidden = _activation_backward(block.mlp.gelu, of_hidden, has.hidden)
        of_x = _norm_backward(of_hidden @ layer.up.weight, has.norm_2).add_(of_x)
        of_qkv = of_x.new_empty((len(has.kv), 3 * width), dtype=dtype)
        of_kv = of_qkv[:, width:]
        of_q = torch.empty_like(has.q) if last else of_qkv[:, :width]
        attend_backward(
            ends if last else every,
            has.weights,
            (has.q, has.kv),
            leading[i],
            of_x.to(dtype) @ layer.out.weight,
            (of_q, of_kv),
            of_leading[i] if through else None,
        )
        rows = where if i == 0 else slice(None)  # before the first block, only learned rows
        if last:
            of_normed = of_kv @ layer.project.weight[width:]
            of_normed[read] += of_q @ layer.project.weight[:width]
            of_x = of_x.new_zeros(len(has.kv), width).index_copy_(0, read, of_x)
            of_normed = of_normed[rows]
        else:
            of_normed = of_qkv[rows] @ layer.project.weight
        norm_1 = tuple(x[rows] for x in has.norm_1)
        of_x = _norm_backward(of_normed, norm_1).add_(of_x[rows])
    return of_x, of_leading


def _rows(chunk: Chunk, sets: int, like: Tensor) -> tuple[list[Part], Tensor, list[Part]]:
    """Attention among all rows, the rows of the ends, and attention from the ends only."""
    every, ends = (parts(chunk, sets, like, ends_only=x) for x in (False, True))
    return every, chunk.read(sets, like.device), ends


def _standardised(
    x: Tensor, norm: nn.LayerNorm, dtype: torch.dtype
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Tensors for `_norm_backward`, and x with mean 0 and variance 1 per row, (n, W) in `dtype`."""
    out, mean, deviation = torch.native_layer_norm(x, x.shape[-1:], None, None, norm.eps)
    return (x, mean, deviation), out.to(dtype)


def _norm_backward(of_out: Tensor, norm: tuple[Tensor, ...]) -> Tensor:
    x, mean, deviation = norm
    of_x: Tensor = torch.ops.aten.native_layer_norm_backward(
        of_out.to(x.dtype), x, x.shape[-1:], mean, deviation, None, None, [True, False, False]
    )[0]
    return of_x


def _activation(kind: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Tensor for `_activation_backward`, and the MLP's activation of x; overwrites x."""
    if is_quick_gelu(kind):  # x sigmoid(1.702 x) = silu(1.702 x) / 1.702
        steep = x.mul_(1.702)
        return steep, F.silu(steep).div_(1.702)
    return x, kind(x)


def _activation_backward(kind: nn.Module, of_out: Tensor, read: Tensor) -> Tensor:
    if is_quick_gelu(kind):
        of_x: Tensor = torch.ops.aten.silu_backward(of_out, read)
    elif isinstance(kind, nn.GELU):
        of_x = torch.ops.aten.gelu_backward(of_out, read, approximate=kind.approximate)
    else:
        with torch.enable_grad():
            x = read.detach().requires_grad_()
            (of_x,) = torch.autograd.grad(kind(x), x, of_out)
    return of_x
