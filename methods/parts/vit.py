"""The forward pass of open_clip's ViT with room for adapters.

Own code over open_clip's parameters, because adapters need a place inside the blocks and because a
pass that is gone through a million times is worth some care: tokens are kept as one contiguous
(B * T, W) matrix (on a CPU a linear layer with a frozen weight and a 3-D input takes a several
times slower path in its backward pass), frozen weights are kept in the number type that is computed
in (`parts.blocks`), attention goes by the kernel that is fast there (`parts.attention`), and in the
last block of a tower with class-token pooling only that token is computed. B images, T tokens
(class token and patches), W width, H heads, D joint space.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable
from methods.base import Batch
from methods.parts.adapters import Slots
from methods.parts.attention import attend
from methods.parts.blocks import (
    Layer,
    activation,
    compute_type,
    layers,
    standardised,
    typed,
)


class AdaptedViT(nn.Module):
    """A ViT with trained parts in its blocks.

    Parameters of this module are those in the slots and those of the tower that require a
    gradient: none of a backbone's own, which stays outside of the state.

    Args:
        visual: a tower as from `vit` or `with_own`.
        slots: one a block; none at all runs the tower as it is.
    """

    def __init__(self, visual: Any, slots: Sequence[Slots] = ()) -> None:
        super().__init__()
        blocks = visual.transformer.resblocks
        if slots and len(slots) != len(blocks):
            raise ValueError("one Slots a block is needed")
        self.slots = nn.ModuleList(slots or [Slots() for _ in blocks])
        self.own = nn.ParameterList(p for p in visual.parameters() if p.requires_grad)
        self._tower = [visual]  # in a list, so that what is frozen is neither moved nor saved

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, W) pooled output after the last layer norm, before the projection."""
        visual = self._tower[0]
        x, tokens = _embed(visual, images.to(compute_type(images)))  # (B * T, W)
        blocks = visual.transformer.resblocks
        every = cast(Iterable[Slots], self.slots)
        for i, (block, slots) in enumerate(zip(blocks, every, strict=True)):
            # Only the class token is read after the last block, and tokens meet in attention alone.
            last = visual.pool_type == "tok" and i + 1 == len(blocks)
            x = _block(block, slots, x, tokens, first_only=last)
        return _pool(visual, x.view(len(images), -1, x.shape[-1]))


def vit(backbone: Backbone) -> Any:
    """The backbone's visual tower.

    Raises:
        NotApplicable: it is no ViT of plain residual attention blocks with class-token or average
            pooling.
    """
    visual: Any = backbone.model.visual
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    plain = (
        blocks is not None
        and all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
        and getattr(visual, "attn_pool", None) is None
        and getattr(visual, "pool_type", "") in ("tok", "avg")
    )
    if not plain:
        raise NotApplicable(
            f"needs the blocks of a ViT, and the image tower of {backbone.id.name} has none"
        )
    return visual


def with_own(visual: Any, own: Callable[[str], bool]) -> Any:
    """A copy of a tower in which some parameters are its own and trained, the rest shared.

    Args:
        visual: a tower as from `vit`; it is not changed.
        own: whether the parameter of a name is copied.
    """
    tensors = [*visual.named_parameters(), *visual.named_buffers()]
    shared = {id(tensor): tensor for name, tensor in tensors if not own(name)}
    copied = copy.deepcopy(visual, shared)
    for name, parameter in copied.named_parameters():
        if own(name):
            parameter.requires_grad_()
    return copied


def project_to_width(visual: Any, features: Tensor) -> Tensor:
    """(n, D) joint features -> (n, W), L2-normalised: norm(norm(t) @ proj^T), as LIFT."""
    unit = F.normalize(features, dim=-1)
    return unit if visual.proj is None else F.normalize(unit @ visual.proj.T.float(), dim=-1)


def _embed(visual: Any, images: Tensor) -> tuple[Tensor, int]:
    """(B, 3, H, W) -> tokens with positions, (B * T, W) contiguous, and T."""
    kernel = typed(visual.conv1.weight, images.dtype)  # (W, 3, P, P), patches lie side by side
    grid = [(side // kernel.shape[-1], kernel.shape[-1]) for side in images.shape[2:]]
    patches = images.unflatten(3, grid[1]).unflatten(2, grid[0])  # (B, 3, rows, P, columns, P)
    patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, T - 1, 3 * P * P)
    x = F.linear(patches, kernel.flatten(1))
    first = typed(visual.class_embedding, x.dtype).expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + typed(visual.positional_embedding, x.dtype)
    x = visual.patch_dropout(x)
    return _norm(visual.ln_pre, x).to(x.dtype).flatten(0, 1), x.shape[1]


def _block(block: Any, slots: Slots, x: Tensor, tokens: int, *, first_only: bool) -> Tensor:
    """One block, (B * T, W) -> (B * T, W), or (B, W) for the first token of each image."""
    layer = layers(block, x.dtype)
    plain = standardised(x, block.ln_1.eps)
    # LN1(x) itself, which `layer.project` does without
    normed = _shifted(block.ln_1, plain) if slots.read_normed else plain
    q, k, v = _projected(layer.project, slots, block, plain, normed, tokens, first_only)
    attended = layer.out(attend(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1))
    if first_only:
        x, normed = (y.view(-1, tokens, y.shape[-1])[:, 0] for y in (x, normed))
        tokens = 1
    x = x + attended
    if slots.attention is not None:
        x = x + slots.attention(normed, tokens)
    plain = standardised(x, block.ln_2.eps)
    out = layer.down(activation(block.mlp.gelu, layer.up(plain)))
    if slots.after_mlp is not None:
        out = out + slots.after_mlp(out)
    x = x + out
    return x if slots.mlp is None else x + slots.mlp(plain)


def _projected(
    layer: Layer,
    slots: Slots,
    block: Any,
    plain: Tensor,
    normed: Tensor,
    tokens: int,
    first_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, (B, H, T, W / H) each; with `first_only` one query an image.

    Args:
        layer: to queries, keys and values.
        slots: of the block.
        block: the block.
        plain: (B * T, W) standardised tokens.
        normed: (B * T, W) LN1(x), for what is in the slots.
        tokens: T.
        first_only: see above.
    """
    width, heads = plain.shape[-1], block.attn.num_heads
    images = len(plain) // tokens

    def split(y: Tensor, images: int) -> tuple[Tensor, ...]:
        """(B * t, n * W) -> n times (B, H, t, W / H)."""
        y = y.view(images, len(y) // images, -1, heads, width // heads)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    if first_only:
        (q,) = split(layer[:width](plain.view(images, tokens, width)[:, 0]), images)
        k, v = split(layer[width:](plain), images)
    else:
        q, k, v = split(layer(plain), images)
    if slots.query is not None:
        asking = normed.view(images, tokens, width)[:, 0] if first_only else normed
        q = q + split(slots.query(asking), images)[0]
    if slots.value is not None:
        v = v + split(slots.value(normed), images)[0]
    if slots.prompts is not None:
        # Tokens whose output nobody reads: they are keys and values alone.
        prompts = standardised(slots.prompts.to(plain.dtype), block.ln_1.eps)
        own_k, own_v = split(layer[width:](prompts), 1)  # (1, H, P, W / H)
        if slots.value is not None:
            own_v = own_v + split(slots.value(_shifted(block.ln_1, prompts)), 1)[0]
        k = torch.cat([k, own_k.expand(images, -1, -1, -1)], 2)
        v = torch.cat([v, own_v.expand(images, -1, -1, -1)], 2)
    return q, k, v


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    """A layer norm in the number type of its own parameters, (…, W) -> (…, W)."""
    if not isinstance(norm, nn.LayerNorm):
        return x
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = norm(x.to(norm.weight.dtype))
    return out


def _shifted(norm: nn.LayerNorm, plain: Tensor) -> Tensor:
    """Gain and shift of a layer norm on standardised tokens, (n, W) -> (n, W)."""
    gain, shift = (typed(p, plain.dtype) for p in (norm.weight, norm.bias))
    return torch.addcmul(shift, plain, gain)


def _pool(visual: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, W), as open_clip's VisionTransformer pools."""
    if visual.pool_type == "tok":  # the norm is per token: only the one that is kept needs it
        return _norm(visual.ln_post, x[:, 0])
    if visual.final_ln_after_pool:
        return _norm(visual.ln_post, x[:, 1:].mean(1))
    return _norm(visual.ln_post, x[:, 1:]).mean(1)


class AdaptedClassifier(nn.Module):
    """A ViT with adapters and a head on its pooled output."""

    def __init__(self, tower: AdaptedViT, head: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.head = head

    def forward(self, batch: Batch) -> Tensor:
        """B images -> (B, C)."""
        x = self.tower(batch.inputs)
        # The head in full precision: rounded cosines tie, and argmax gives ties to the first class.
        with torch.autocast(x.device.type, enabled=False):
            logits: Tensor = self.head(x.float())
        return logits
